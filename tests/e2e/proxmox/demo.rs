//! `cargo xtask demo --backend proxmox-sim`, as a user runs it.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use firstlight_tests::demo::shared_identities;
use firstlight_tests::rig::leftovers;
use firstlight_tests::{paths, run, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::fields;

/// Demos are heavy: one at a time.
static ONE: Mutex<()> = Mutex::new(());

fn demo(state: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["demo", "--backend", "proxmox-sim", "--state"]).arg(state).args(words);
    for variable in [paths::COMPANION_VARIABLE, paths::GUEST_VARIABLE] {
        command.env(variable, paths::given(variable));
    }
    command
}

fn assert_nothing_is_left(state: &Path) {
    for folder in [state.to_owned(), state.join("cluster")] {
        let left = leftovers::find(&folder);
        assert!(left.is_empty(), "{left:#?}");
    }
    for extension in ["token", "toml", "ca.pem"] {
        assert!(!state.with_extension(extension).exists(), "{extension}");
    }
}

#[test]
fn the_demo_on_a_simulated_cluster_prints_one_document_and_leaves_nothing() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("demo");
    let ran = run::run(&mut demo(&state, &["--count", "2", "--json"])).unwrap();
    assert!(ran.ok(), "{}", ran.said());
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(shared_identities(&document), Vec::<String>::new());
    let guests = document["guests"].as_array().unwrap();
    assert_eq!(fields(guests, "backend"), ["proxmox", "proxmox"]);
    assert_eq!(fields(guests, "trust"), ["attested", "attested"]);
    assert!(ran.stderr.contains("the cluster is as it was before"), "{}", ran.said());
    assert_nothing_is_left(&state);
}

#[test]
fn ctrl_c_ends_the_cluster_with_all_of_its_guests() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    // Before the companion, while guests are restored, and once they run.
    let moments: [(&str, &[&str]); 3] =
        [("a simulated Proxmox VE", &[]), ("running restore", &[]), ("waiting for", &["--count", "1"])];
    for (words, more) in moments {
        let folder = tempfile::tempdir().unwrap();
        let (state, log) = (folder.path().join("demo"), folder.path().join("demo.log"));
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        let mut command = demo(&state, more);
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.stderr(File::create(&log).unwrap()).spawn().unwrap();
        let began = wait::until(words, Duration::from_secs(60), || {
            let ended = child.try_wait().ok().flatten();
            (ended.is_some() || said().contains(words)).then_some(ended)
        });
        // To the whole group, as a terminal does.
        let group = Pid::from_raw(-i32::try_from(child.id()).unwrap());
        kill(group, Signal::SIGINT).unwrap();
        let ended =
            wait::until("the demo to end", Duration::from_secs(120), || child.try_wait().ok().flatten());
        assert!(matches!(began, Ok(None)), "it never came to `{words}`: {began:?}\n{}", said());
        if ended.is_err() {
            let _ = child.kill(); // the caretaker cleans up after it
            let _ = child.wait();
        }
        let status = ended.unwrap_or_else(|error| panic!("{error}\n{}", said()));
        assert_eq!(status.code(), Some(130), "interrupted at `{words}`\n{}", said());
        assert_nothing_is_left(&state);
    }
}
