//! A guest that never reports.

use firstlight_tests::golden::Variant;
use firstlight_tests::rig::Rig;

#[test]
fn a_guest_that_never_reports_ends_at_its_deadline_with_reason_and_console_and_is_rolled_back() {
    let rig = Rig::serving();
    let spec = rig.spec("mute", Variant::Silent, "[guest.readiness]\ntimeout = \"8s\"");
    let ran = rig.run(&["up", &spec, "--json"]);
    assert_eq!(ran.code, 1, "{}", ran.said());
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let guest = &document["guests"][0];
    assert_eq!(guest["state"], "rolled-back", "{guest:#}");
    assert!(guest["failure"]["code"].as_str().is_some_and(|code| code.contains('-')), "{guest:#}");
    let message = guest["failure"]["message"].as_str().unwrap();
    assert!(message.contains('8'), "the message does not name the deadline: {message}");

    let shown = rig.json(&["show", "mute", "--json"]);
    let tail = shown["job"]["console_tail"].as_array().unwrap();
    assert!(!tail.is_empty(), "no console lines were kept: {shown:#}");
    let text = rig.run(&["show", "mute"]);
    assert!(text.stdout.contains(message), "`show` does not say why: {}", text.said());
    let last =
        tail.iter().rev().filter_map(|line| line.as_str()).find(|line| !line.trim().is_empty()).unwrap();
    assert!(
        text.stdout.contains(last.trim()),
        "`show` hides the console's last line {last:?}: {}",
        text.said()
    );

    // Rolled back to nothing, without any `destroy`.
    assert!(!rig.guest_root("mute").exists());
    let left = firstlight_tests::rig::leftovers::find(&rig.state());
    let of_guest: Vec<&String> = left.iter().filter(|line| line.contains("mute")).collect();
    assert!(of_guest.is_empty(), "{of_guest:#?}");
}
