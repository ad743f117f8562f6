//! `firstlight golden lint` on the root, and on its tar.zst beside `zstd -dc | tar -t`, in turns.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::peak::{Ran, timed};
use crate::root::Size;
use firstlight_tests::figures::{Row, Table, median};

const SECOND: f64 = 1.0;
const RATIO: f64 = 1.1;
const MEGABYTES: f64 = 64.0;

pub(crate) fn measure(root: &Path, folder: &Path, size: &Size, rounds: usize, table: &mut Table) {
    let archive = folder.join("golden.tar.zst");
    let shell = |text: String| {
        let mut command = Command::new("bash");
        command.args(["-o", "pipefail", "-c", &text]);
        command
    };
    let (from, to) = (root.display(), archive.display());
    // As vzdump packs.
    let packed = timed(&mut shell(format!("tar -C '{from}' -cf - . | zstd -q -3 -o '{to}'")));
    assert!(packed.status.success(), "tar and zstd are needed");
    // The first round warms the page cache and is not counted.
    let (mut folders, mut archives, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    let mut peak = [0.0_f64; 2];
    for round in 0..=rounds {
        let of_folder = lint(root);
        let of_archive = lint(&archive);
        let of_tools = timed(&mut shell(format!("zstd -dc '{to}' | tar -t > /dev/null")));
        assert!(of_tools.status.success());
        peak = [peak[0].max(of_folder.peak), peak[1].max(of_archive.peak)];
        if round > 0 {
            folders.push(of_folder.took);
            archives.push(of_archive.took);
            bare.push(of_tools.took);
        }
    }
    let what = format!("{:.2} GB in {} files", size.bytes as f64 / 1e9, size.files);
    let (of_folder, of_archive, tools) = (seconds(&folders), seconds(&archives), seconds(&bare));
    table.add(Row {
        figure: format!("lint of a folder, {what}"),
        ours: format!("{of_folder:.2} s"),
        beside: format!("median of {rounds}, page cache warm"),
        aim: "<= 1 s".into(),
        met: Some(of_folder <= SECOND),
    });
    table.add(Row {
        figure: "lint of its tar.zst".to_owned(),
        ours: format!("{of_archive:.2} s"),
        beside: format!("`zstd -dc | tar -t`, in turns: {tools:.2} s; ratio {:.2}", of_archive / tools),
        aim: "<= 1.1".into(),
        met: Some(of_archive <= RATIO * tools),
    });
    for (what, peak) in [("folder", peak[0]), ("tar.zst", peak[1])] {
        table.add(Row {
            figure: format!("memory at most, {what}"),
            ours: format!("{peak:.1} MB"),
            beside: "the whole program's VmHWM".to_owned(),
            aim: "<= 64 MB".into(),
            met: Some(peak <= MEGABYTES),
        });
    }
}

fn seconds(times: &[Duration]) -> f64 {
    median(times).as_secs_f64()
}

fn lint(golden: &Path) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstlight"));
    let ran = timed(command.args(["golden", "lint"]).arg(golden));
    // The root has a host key.
    assert_eq!(ran.status.code(), Some(1), "{golden:?}");
    ran
}
