//! What `golden lint` said of goldens.

use firstlight::store::{GoldenVerdict, LintFinding, LintLook};

use crate::rig::Rig;

fn verdict(backend: &str, golden: &str, at_ms: u64) -> GoldenVerdict {
    let finding =
        LintFinding { severity: "error".into(), rule: "ssh-host-keys".into(), path: "/etc/'\u{1b}".into() };
    GoldenVerdict {
        backend: backend.into(),
        golden: golden.into(),
        mark: format!("{at_ms} bytes"),
        at_ms,
        by: "the suite".into(),
        look: LintLook {
            path: golden.into(),
            shape: "tar".into(),
            target: "local".into(),
            errors: 1,
            warnings: 2,
            notes: 3,
            incomplete: true,
            refused: None,
            findings: vec![finding],
        },
    }
}

pub(crate) async fn the_newest_verdict_of_each_golden_is_kept(rig: &Rig) {
    assert_eq!(rig.store.golden_verdicts().await.unwrap(), []);
    for (backend, golden, at_ms) in
        [("local", "/a", 1), ("local", "/b", 2), ("incus", "/a", 3), ("local", "/a", 4)]
    {
        rig.store.keep_verdict(&verdict(backend, golden, at_ms)).await.unwrap();
    }
    let wanted = [verdict("local", "/a", 4), verdict("incus", "/a", 3), verdict("local", "/b", 2)];
    assert_eq!(rig.other.golden_verdicts().await.unwrap(), wanted);
}

pub(crate) async fn verdicts_of_long_ago_are_forgotten(rig: &Rig) {
    for number in 1..=1003 {
        rig.store.keep_verdict(&verdict("local", &format!("/{number}"), number)).await.unwrap();
    }
    let kept = rig.store.golden_verdicts().await.unwrap();
    assert_eq!((kept.len(), kept[0].at_ms, kept[999].at_ms), (1000, 1003, 4));
}
