//! `cargo xtask demo`, as a user runs it.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use firstlight_tests::demo::{COLUMNS, shared_identities};
use firstlight_tests::rig::leftovers;
use firstlight_tests::{paths, run, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Demos are heavy: one at a time.
static ONE: Mutex<()> = Mutex::new(());

fn demo(state: &std::path::Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["demo", "--state"]).arg(state).args(words);
    for variable in [paths::COMPANION_VARIABLE, paths::GUEST_VARIABLE] {
        command.env(variable, paths::given(variable));
    }
    command
}

#[test]
fn the_demo_prints_exactly_one_document_and_leaves_nothing() {
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("demo");
    let ran = run::run(&mut demo(&state, &["--count", "2", "--json"])).unwrap();
    assert!(ran.ok(), "{}", ran.said());
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["duplicates"], serde_json::json!([]));
    assert_eq!(shared_identities(&document), Vec::<String>::new());
    let guests = document["guests"].as_array().unwrap();
    assert_eq!(guests.len(), 2);
    for guest in guests {
        assert_eq!(guest["state"], "done");
        for field in ["name", "trust", "mac", "machine_id", "hostname"] {
            assert!(guest[field].is_string(), "{field}: {guest:#}");
        }
        assert!(guest["timings_ms"]["total"].is_u64(), "{guest:#}");
        assert!(
            guest["addresses"][0].is_string() && guest["ssh_host_keys"][0]["fingerprint"].is_string(),
            "{guest:#}"
        );
        assert!(!guest["checks"].as_array().unwrap().is_empty(), "{guest:#}");
    }
    let left = leftovers::find(&state);
    assert!(left.is_empty(), "{left:#?}");
}

#[test]
fn the_demo_ends_with_a_table_of_every_clone() {
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let ran = run::run(&mut demo(&folder.path().join("demo"), &["--count", "1"])).unwrap();
    assert!(ran.ok(), "{}", ran.said());
    let heads = ran.stdout.lines().next().unwrap_or_default();
    assert!(COLUMNS.iter().all(|column| heads.contains(column)), "{}", ran.stdout);
    assert!(
        ran.stdout.lines().any(|line| line.starts_with("web-01") && line.contains("SHA256:")),
        "{}",
        ran.stdout
    );
}

#[test]
fn what_a_kept_demo_leaves_the_next_one_removes() {
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("demo");
    let kept = run::run(&mut demo(&state, &["--count", "1", "--keep"])).unwrap();
    assert!(kept.ok(), "{}", kept.said());
    for word in ["ip netns exec", "known-hosts", "cargo xtask clean"] {
        assert!(kept.stderr.contains(word), "{word} is not told: {}", kept.said());
    }
    assert!(!leftovers::find(&state).is_empty(), "nothing was kept");
    let program = paths::given(paths::COMPANION_VARIABLE);
    let hosts = run::run(Command::new(program).arg("known-hosts").env("FIRSTLIGHT_STATE", &state)).unwrap();
    assert!(hosts.ok() && hosts.stdout.starts_with("web-01,"), "{}", hosts.said());
    let next = run::run(&mut demo(&state, &["--count", "1"])).unwrap();
    assert!(next.ok(), "{}", next.said());
    let left = leftovers::find(&state);
    assert!(left.is_empty(), "{left:#?}");
}

#[test]
fn ctrl_c_at_any_moment_cleans_up() {
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let moments: Vec<u64> =
        if paths::full() { (0..15).map(|step| step * 150).collect() } else { vec![0, 700] };
    for moment in moments {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("demo");
        let log = folder.path().join("demo.log");
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        let mut command = demo(&state, &["--count", "2"]);
        command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap());
        let mut child = command.spawn().unwrap();
        let socket = state.join("control.sock");
        let began = wait::until("the demo to begin", Duration::from_secs(60), || {
            let ended = child.try_wait().ok().flatten();
            (ended.is_some() || socket.exists()).then_some(ended)
        });
        std::thread::sleep(Duration::from_millis(moment)); // the moment is what is tested
        // To the whole group, as a terminal does.
        let group = Pid::from_raw(-i32::try_from(child.id()).unwrap());
        kill(group, Signal::SIGINT).unwrap();
        let ended =
            wait::until("the demo to end", Duration::from_secs(90), || child.try_wait().ok().flatten());
        assert!(matches!(began, Ok(None)), "the demo did not begin: {began:?}\n{}", said());
        let status = ended.unwrap_or_else(|error| panic!("{error}\n{}", said()));
        assert_eq!(status.code(), Some(130), "interrupted after {moment} ms\n{}", said());
        let left = leftovers::find(&state);
        assert!(left.is_empty(), "interrupted after {moment} ms: {left:#?}");
    }
}
