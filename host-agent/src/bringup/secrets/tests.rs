use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use super::*;

fn write(path: &Path, content: &[u8], mode: u32) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn only(folder: &Path) -> SecretRules {
    SecretRules::Only { folders: vec![folder.to_owned()], programs: Vec::new() }
}

fn words(script: &str) -> Vec<String> {
    ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
}

#[test]
fn a_file_is_read_byte_by_byte_if_nobody_else_may() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("age.txt");
    let content = b"# a comment\nAGE-SECRET-KEY-1\n\0";
    for (mode, code) in
        [(0o600, None), (0o400, None), (0o640, Some("secret-exposed")), (0o604, Some("secret-exposed"))]
    {
        write(&path, content, mode);
        for rules in [SecretRules::Anything, only(folder.path())] {
            let read = file::read(&path, &rules);
            assert_eq!(read.as_ref().err().map(|fault| fault.code.as_str()), code, "{mode:o}");
            assert_eq!(file::look(&path, &rules).is_err(), code.is_some());
            if let Ok(read) = read {
                assert_eq!(read.as_slice(), content);
            }
        }
    }
    write(&path, &vec![b'x'; MOST + 1], 0o600);
    assert_eq!(file::read(&path, &SecretRules::Anything).unwrap_err().code, "secret-too-large");
    write(&path, &vec![b'x'; MOST], 0o600);
    assert_eq!(file::read(&path, &SecretRules::Anything).unwrap().len(), MOST);
}

#[test]
fn what_is_no_file_of_the_folder_is_no_source() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("secrets");
    fs::create_dir(&folder).unwrap();
    write(&outer.path().join("token"), b"x", 0o600);
    write(&folder.join("real"), b"y", 0o600);
    symlink("../token", folder.join("out")).unwrap();
    symlink(outer.path().join("token"), folder.join("absolute")).unwrap();
    symlink("real", folder.join("inside")).unwrap();
    nix::unistd::mkfifo(&folder.join("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    let code = |name: &str| file::read(&folder.join(name), &only(&folder)).err().map(|fault| fault.code);
    for name in ["out", "absolute", "absent"] {
        assert_eq!(code(name).as_deref(), Some("secret-unreadable"), "{name}");
    }
    assert_eq!(code("fifo").as_deref(), Some("secret-no-file"));
    assert_eq!((code("real"), code("inside")), (None, None));
    assert!(file::read(&folder.join("out"), &SecretRules::Anything).is_ok());
    let fault = file::read(&folder.join("absent"), &SecretRules::Anything).unwrap_err();
    assert!(
        fault.message.contains("user ") && fault.hint.unwrap().contains("companion"),
        "{}",
        fault.message
    );
}

#[tokio::test]
async fn a_command_gives_what_it_prints_and_no_more() {
    let got =
        program::run(&words("printf 'a\\nb\\n'; echo noise >&2; test -z \"$FIRSTLIGHT_TOKEN\""), "web-01")
            .await;
    assert_eq!(got.unwrap().as_slice(), b"a\nb\n");
    let got = program::run(&words("printf %s \"$FIRSTLIGHT_GUEST\""), "web-01").await;
    assert_eq!(got.unwrap().as_slice(), b"web-01");
    let fault = program::run(&words("printf hunter2hunter2; printf 'no\\033[31m' >&2; exit 3"), "a")
        .await
        .unwrap_err();
    assert_eq!(fault.code, "secret-command-failed");
    assert!(
        fault.message.contains("exit status: 3") && fault.message.contains("no\\u{1b}[31m"),
        "{}",
        fault.message
    );
    assert!(!format!("{fault:?}").contains("hunter2"));
    let fault = program::run(&words("echo hunter2hunter2 | tee /dev/stderr; exit 1"), "a").await.unwrap_err();
    assert!(fault.message.contains("not shown") && !format!("{fault:?}").contains("hunter2"), "{fault:?}");
    let many = format!("head -c {} /dev/zero", MOST + 1);
    assert_eq!(program::run(&words(&many), "a").await.unwrap_err().code, "secret-too-large");
    let absent = ["/no/such/program".to_owned()];
    assert_eq!(program::run(&absent, "a").await.unwrap_err().code, "secret-command-failed");
    assert!(program::look(&absent).is_err() && program::look(&words("")).is_ok());
}

#[tokio::test]
async fn a_command_that_hangs_is_ended_with_all_that_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    let script = format!("sleep 600 & echo $! > {}; wait", pid.display());
    let began = Instant::now();
    let fault = program::run_within(&words(&script), "a", Duration::from_millis(500)).await.unwrap_err();
    assert!(fault.message.contains("did not end"), "{}", fault.message);
    assert!(began.elapsed() < Duration::from_secs(60));
    let pid = fs::read_to_string(&pid).unwrap();
    let state = || fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    while state().split(' ').nth(2).is_some_and(|state| state != "Z") {
        assert!(began.elapsed() < Duration::from_secs(60), "{}", state());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
