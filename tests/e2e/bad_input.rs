//! Bad input: a clear error with what to do, an exit code from the table, and nothing left behind.

use std::fs::{self, File};
use std::net::TcpListener;
use std::process::Command;

use firstlight_tests::golden::Variant;
use firstlight_tests::rig::Rig;
use firstlight_tests::run::{self, Ran};
use firstlight_tests::{paths, ports, rig};

use crate::support::archive;

const BAD_INPUT: i32 = 3;
const ENVIRONMENT: i32 = 4;

/// The exit code, an `error:` that names what is wrong, a `hint:` that says what to do.
fn assert_error(what: &str, ran: &Ran, code: i32, names: &[&str]) {
    assert_eq!(ran.code, code, "{what}: {}", ran.said());
    assert!(
        ran.stderr.lines().any(|line| line.starts_with("error: ")),
        "{what} has no `error:` line: {}",
        ran.said()
    );
    assert!(
        ran.stderr.lines().any(|line| line.starts_with("hint: ")),
        "{what} has no `hint:` line: {}",
        ran.said()
    );
    for name in names {
        assert!(ran.stderr.contains(name), "{what} does not name {name}: {}", ran.said());
    }
    assert!(!ran.stderr.contains("panicked"), "{what}: {}", ran.said());
}

/// `up` fails in the same way with and without a daemon, and leaves nothing.
fn assert_bad_spec(what: &str, names: &[&str], spec: impl Fn(&Rig) -> String) {
    for serving in [false, true] {
        let rig = if serving { Rig::serving() } else { Rig::new() };
        let ran = rig.run(&["up", &spec(&rig)]);
        assert_error(&format!("{what} (daemon: {serving})"), &ran, BAD_INPUT, names);
        assert!(!rig.guest_root("bad").exists(), "{what}: a root is left");
        let left = rig::leftovers::find(&rig.state());
        let of_guest: Vec<&String> = left.iter().filter(|line| line.contains("bad")).collect();
        assert!(of_guest.is_empty(), "{what}: {of_guest:#?}");
    }
}

#[test]
fn an_unknown_key_is_shown_with_line_and_column() {
    assert_bad_spec("an unknown key", &["memroy", "5"], |rig| rig.spec("bad", Variant::Agent, "memroy = 3"));
}

#[test]
fn a_missing_golden_is_named() {
    assert_bad_spec("a missing golden", &["/no/such/golden.tar"], |rig| {
        rig.spec_of("bad", "/no/such/golden.tar".as_ref(), "")
    });
}

#[test]
fn a_truncated_archive_is_a_bad_golden() {
    assert_bad_spec("a truncated archive", &["cut.tar"], |rig| {
        let cut = rig.path("cut.tar");
        fs::copy(archive(Variant::Agent), &cut).unwrap();
        File::options().write(true).open(&cut).unwrap().set_len(70_000_123).unwrap();
        rig.spec_of("bad", &cut, "")
    });
}

#[test]
fn an_archive_that_is_no_archive_is_a_bad_golden() {
    assert_bad_spec("noise", &["noise.tar"], |rig| {
        let noise = rig.path("noise.tar");
        fs::write(&noise, vec![0x5a; 100_000]).unwrap();
        rig.spec_of("bad", &noise, "")
    });
}

#[test]
fn paths_that_leave_the_root_are_refused_before_they_are_written() {
    for (kind, option) in
        [("absolute", "s,^\\./,/tmp/firstlight-escape/,"), ("dots", "s,^\\./,../../../firstlight-escape/,")]
    {
        assert_bad_spec(kind, &["escape.tar"], |rig| {
            let (folder, tar) = (rig.path("stage"), rig.path("escape.tar"));
            fs::create_dir_all(folder.join("etc")).unwrap();
            fs::write(folder.join("etc/evil"), "evil").unwrap();
            let transform = format!("--transform={option}");
            run::must(
                run::command(["tar", "-P", "-c", &transform, "-f"])
                    .arg(&tar)
                    .arg("-C")
                    .arg(&folder)
                    .arg("./etc/evil"),
            )
            .unwrap();
            rig.spec_of("bad", &tar, "")
        });
        assert!(!std::path::Path::new("/tmp/firstlight-escape").exists());
    }
}

#[test]
fn links_that_leave_the_root_are_not_followed() {
    let rig = Rig::new();
    let outside = rig.path("outside");
    fs::create_dir(&outside).unwrap();
    let (folder, tar) = (rig.path("stage"), rig.path("link.tar"));
    fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink(&outside, folder.join("way")).unwrap();
    run::must(run::command(["tar", "-c", "-f"]).arg(&tar).arg("-C").arg(&folder).arg("./way")).unwrap();
    fs::remove_file(folder.join("way")).unwrap();
    fs::create_dir(folder.join("way")).unwrap();
    fs::write(folder.join("way/evil"), "evil").unwrap();
    run::must(run::command(["tar", "-r", "-f"]).arg(&tar).arg("-C").arg(&folder).arg("./way/evil")).unwrap();
    let ran = rig.run(&["up", &rig.spec_of("bad", &tar, "[guest.readiness]\ntimeout = \"5s\"")]);
    assert!(!ran.ok(), "{}", ran.said());
    assert!(!outside.join("evil").exists(), "the archive wrote outside its root: {}", ran.said());
}

#[test]
fn a_spec_that_is_not_there_is_named() {
    let rig = Rig::new();
    assert_error(
        "a missing spec",
        &rig.run(&["up", "/no/such/spec.toml"]),
        BAD_INPUT,
        &["/no/such/spec.toml"],
    );
}

#[test]
fn wrong_usage_is_usage() {
    let rig = Rig::new();
    for words in [&["up"][..], &["no-such-command"], &["up", "--no-such-flag", "x"]] {
        assert_eq!(rig.run(words).code, 2, "{words:?}");
    }
}

#[test]
fn nobody_cannot_run_guests_and_is_told_so() {
    let rig = Rig::new();
    let spec = rig.spec("bad", Variant::Agent, "");
    let state = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(state.path(), Some(65534), Some(65534)).unwrap();
    // A copy that nobody can reach: the folders of a checkout may be closed to others.
    let program = state.path().join("firstlight");
    fs::copy(paths::given(paths::COMPANION_VARIABLE), &program).unwrap();
    let open = state.path().join("spec.toml");
    fs::copy(&spec, &open).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "timeout", "20"]);
    command.arg(&program).arg("up").arg(&open).env("FIRSTLIGHT_STATE", state.path().join("state"));
    let ran = run::run(command.current_dir(state.path())).unwrap();
    assert_error("`up` as nobody", &ran, ENVIRONMENT, &["root"]);
}

#[test]
fn a_missing_tool_is_named_with_its_package() {
    let rig = Rig::new();
    let spec = rig.spec("bad", Variant::Agent, "");
    // Hidden from this process alone, wherever it looks: a device node is no program.
    let hide = "mount --bind /dev/null \"$(command -v systemd-nspawn)\" && exec \"$@\"";
    let mut command = run::command(["unshare", "--mount", "sh", "-c", hide, "sh"]);
    command
        .arg(paths::given(paths::COMPANION_VARIABLE))
        .args(["up", &spec])
        .env("FIRSTLIGHT_STATE", rig.state());
    let ran = run::run(&mut command).unwrap();
    assert_error("without systemd-nspawn", &ran, ENVIRONMENT, &["systemd-nspawn", "systemd-container"]);
    assert!(!rig.guest_root("bad").exists());
}

#[test]
fn a_port_in_use_is_named() {
    let rig = Rig::new();
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut serve = Command::new("timeout");
    serve.arg("20").arg(paths::given(paths::COMPANION_VARIABLE)).args(["serve", "--listen", &address]);
    let ran = run::run(serve.env("FIRSTLIGHT_STATE", rig.state())).unwrap();
    assert_error("a port in use", &ran, ENVIRONMENT, &[&address]);
}

#[test]
fn a_second_daemon_on_one_state_folder_is_refused() {
    let rig = Rig::serving();
    let listen = ports::free_address().to_string();
    let mut second = Command::new("timeout");
    second.arg("20").arg(paths::given(paths::COMPANION_VARIABLE)).args(["serve", "--listen", &listen]);
    let ran = run::run(second.env("FIRSTLIGHT_STATE", rig.state())).unwrap();
    assert_error("a second daemon", &ran, ENVIRONMENT, &[&*rig.state().to_string_lossy()]);
    assert!(rig.run(&["jobs"]).ok(), "the first daemon was harmed");
}

#[test]
fn asking_for_what_is_not_there_has_its_own_code() {
    let rig = Rig::serving();
    let ran = rig.run(&["show", "no-such-guest"]);
    assert_eq!(ran.code, 5, "{}", ran.said());
    assert!(ran.stderr.contains("no-such-guest"), "{}", ran.said());
    let alone = Rig::new();
    let ran = alone.run(&["jobs"]);
    assert!(ran.code == 5 || ran.ok(), "without a daemon: {}", ran.said());
}
