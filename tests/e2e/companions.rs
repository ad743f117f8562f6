//! Two companions, real guests, one PostgreSQL; one companion dies.

use std::collections::BTreeMap;
use std::fs;

use firstlight_tests::golden::Variant;
use firstlight_tests::guest::Leader;
use firstlight_tests::rig::Rig;
use serde_json::Value;

use crate::postgres::Cluster;

const GUESTS: [&str; 3] = ["pair-01", "pair-02", "pair-03"];

/// Both serve the same guests: those of the first one's state folder.
fn configuration(cluster: &Cluster, rig: &Rig, name: &str) -> String {
    format!(
        "[store]\nurl = {:?}\n[companion]\nname = {name:?}\nlease = \"3s\"\ngrace = \"3s\"\n[local]\nfolder = {:?}\n",
        cluster.url(),
        rig.state(),
    )
}

#[test]
fn guests_whose_companion_was_killed_are_finished_by_the_other_and_none_is_made_twice() {
    let cluster = Cluster::start();
    let mut rig = Rig::new();
    rig.configure(&configuration(&cluster, &rig, "one"));
    rig.serve();
    let spec = rig.spec("pair-{n}", Variant::Silent, "count = 3\n[guest.readiness]\ntimeout = \"120s\"");
    rig.up_waiting(&spec, &GUESTS);
    let lives: BTreeMap<&str, Leader> = GUESTS.iter().map(|name| (*name, rig.leader(name))).collect();

    let other = rig.beside("other", &configuration(&cluster, &rig, "other"));
    rig.kill_companion();
    for guest in lives.values() {
        let started = guest.run(&["/usr/bin/systemctl", "start", "firstlight-report.service"]).unwrap();
        assert!(started.ok(), "{}", started.said());
    }
    rig.adopt("other", other);
    for name in GUESTS {
        rig.await_state(name, "done");
        let shown = rig.json(&["show", name, "--json"]);
        assert_eq!(shown["job"]["trust"], "attested", "{shown:#}");
        assert!(shown.to_string().contains("other"), "nobody took the job over: {shown:#}");
        assert_eq!(lives[name], Leader::of(&rig.guest_root(name)).unwrap(), "{name} was started anew");
    }
    let reports = rig.json(&["reports", "--json"]);
    assert_eq!(reports["reports"].as_array().map(Vec::len), Some(GUESTS.len()), "{reports:#}");
    assert_eq!(reports["refusals"].as_array().map(Vec::len), Some(0), "{reports:#}");
    let folders: Vec<String> = fs::read_dir(rig.state().join("guests"))
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(folders.len(), GUESTS.len(), "{folders:?}");
    let jobs = rig.json(&["jobs", "--json"]);
    assert_eq!(jobs["jobs"].as_array().map(Vec::len), Some(GUESTS.len()), "{jobs:#}");
    assert!(jobs["jobs"].as_array().unwrap().iter().all(|job| job["failure"] == Value::Null));
}
