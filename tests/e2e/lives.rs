//! Throwaway guests of this machine.

use firstlight_tests::golden::Variant;
use firstlight_tests::rig::Rig;

#[test]
fn guests_are_gone_when_their_time_is_over_or_they_stop() {
    let rig = Rig::serving();
    let ready = "[guest.readiness]\ntimeout = \"120s\"";
    let begin = |name: &str, more: &str| {
        let spec = rig.spec(name, Variant::Agent, &format!("{more}\n{ready}"));
        let ran = rig.run(&["up", &spec, "--detach"]);
        assert!(ran.ok(), "{}", ran.said());
    };
    begin("due", "destroy_after = \"3s\"");
    begin("brief", "lifecycle = \"ephemeral\"");
    rig.await_state("brief", "done");
    rig.await_state("due", "rolled-back");
    let code = |guest: &str| rig.json(&["show", guest, "--json"])["job"]["failure"]["code"].clone();
    assert_eq!(code("due"), "due");

    let _ = rig.leader("brief").run(&["/usr/bin/systemctl", "poweroff"]);
    rig.await_state("brief", "rolled-back");
    assert_eq!(code("brief"), "guest-stopped");
    rig.assert_clean();
}
