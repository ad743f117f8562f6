//! The program's ends as a script meets them.

#![expect(clippy::unwrap_used, reason = "a test stops where it is surprised")]

mod golden;

use std::process::{Command, Output};

use golden::guest_agent;

fn run(arguments: &[&str]) -> Output {
    Command::new(guest_agent()).args(arguments).output().unwrap()
}

#[test]
fn adopt_stamps_nothing_that_systemd_did_not_boot() {
    // A foreign root is refused as an argument, whatever it is.
    let root = golden::baked();
    let output = run(&["--root", root.path().to_str().unwrap(), "adopt"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!root.path().join("var/lib/firstlight/stamp.json").exists());
    // In a chroot "/" is the image: what a package's script would find while an image is built.
    let program = root.path().join("usr/bin/agent");
    std::fs::create_dir_all(program.parent().unwrap()).unwrap();
    // By another process: what this one writes may be open in a child of another test, and is busy then.
    assert!(Command::new("cp").arg(guest_agent()).arg(&program).status().unwrap().success());
    let script = "for part in lib lib64 usr/lib; do if [ -e /$part ]; then mkdir -p \"$0/$part\" && \
        mount --rbind /$part \"$0/$part\"; fi; done; mkdir -p \"$0/run/systemd/system\" \"$0/proc\"; \
        mount --rbind /proc \"$0/proc\"; exec chroot \"$0\" /usr/bin/agent adopt --json";
    let output = Command::new("unshare").args(["-m", "sh", "-c", script]).arg(root.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(6), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("\"code\": \"not-booted\""), "{text}");
    assert!(!root.path().join("var/lib/firstlight/stamp.json").exists());
}

#[test]
fn plan_shows_what_identity_does_and_changes_nothing() {
    let root = golden::baked();
    let before = golden::files(root.path());
    let path = root.path().to_str().unwrap();
    let output = run(&["--root", path, "plan", "--json"]);
    assert!(output.status.success());
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(plan["decision"], "renew");
    assert_eq!(plan["remove_keys"].as_array().unwrap().len(), 3);
    assert!(
        !String::from_utf8_lossy(&output.stdout).contains("7be07251d758"),
        "the raw machine-id is nowhere"
    );
    assert_eq!(golden::files(root.path()), before);
}
