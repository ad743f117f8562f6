//! The recipes in packaging/ that make images: each run on a real root, and what comes out proved by the lint and by a clone.

mod bootc;
mod customize;
mod mkosi;
mod packer;
mod pct;

use std::path::Path;

use firstlight_tests::rig::Rig;
use firstlight_tests::{paths, run};
use serde_json::Value;

use crate::whole::machine_id_and_keys;

/// What the companion's lint finds wrong: rules of errors. What is only told stands beside the golden in messages.
fn errors(golden: &Path) -> Vec<String> {
    let mut lint = std::process::Command::new(paths::given(paths::COMPANION_VARIABLE));
    let ran = run::run(lint.args(["golden", "lint", "--json"]).arg(golden)).unwrap();
    let report: Value =
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.said()));
    let findings = report["findings"].as_array().expect("findings are listed");
    let errors = findings.iter().filter(|finding| finding["severity"] == "error");
    errors.map(|finding| format!("{} {}", finding["rule"], finding["path"]).replace('"', "")).collect()
}

/// Brings two clones up, which must be ready and share nothing.
fn assert_clones_are_their_own(golden: &Path) {
    let rig = Rig::serving();
    let ready = "count = 2\n[guest.readiness]\ntimeout = \"150s\"\nrequire = [\"sshd\"]";
    let guests = rig.up(&rig.spec_of("clone-{n}", golden, ready));
    assert_eq!(guests.len(), 2);
    let [one, two] = ["clone-01", "clone-02"].map(|name| machine_id_and_keys(rig.leader(name)));
    assert_ne!(one.0, two.0);
    for key in &one.1 {
        assert!(!two.1.contains(key), "both have {key}");
    }
}
