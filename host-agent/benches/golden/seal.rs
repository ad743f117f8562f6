//! `firstlight-guest seal` on the root: a look first, then the seal of a fresh copy, then once more where nothing is left to do.

use std::path::Path;
use std::process::Command;

use crate::peak::timed;
use firstlight_tests::figures::{Row, Table, median};

const SECOND: f64 = 1.0;

pub(crate) fn measure(guest: &Path, root: &Path, folder: &Path, rounds: usize, table: &mut Table) {
    let copy = folder.join("copy");
    // A seal writes: hard links would carry it into the root that is looked at.
    let copied = Command::new("cp").args(["-a", "--reflink=auto"]).arg(root).arg(&copy).status().unwrap();
    assert!(copied.success());
    let seal = |more: &[&str]| {
        let mut command = Command::new(guest);
        let ran = timed(command.args(["seal", "--root"]).arg(&copy).args(more));
        assert!(ran.status.success(), "{}", ran.status);
        ran
    };
    let looks: Vec<_> = (0..rounds).map(|_| seal(&["--dry-run"]).took).collect();
    let first = seal(&[]);
    let again: Vec<_> = (0..rounds).map(|_| seal(&[]).took).collect();
    for (what, took, beside) in [
        ("seal --dry-run", median(&looks).as_secs_f64(), format!("median of {rounds}")),
        ("seal", first.took.as_secs_f64(), format!("{:.1} MB at most", first.peak)),
        ("seal once more", median(&again).as_secs_f64(), format!("median of {rounds}")),
    ] {
        table.add(Row {
            figure: format!("{what} of the same root"),
            ours: format!("{took:.2} s"),
            beside,
            aim: "<= 1 s".into(),
            met: Some(took <= SECOND),
        });
    }
}
