//! `firstlight-guest seal` as a script meets it.

#![expect(clippy::unwrap_used, reason = "a test stops where it is surprised")]

mod golden;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use golden::{Golden, guest_agent};
use serde_json::Value;

/// A golden with baked keys that is the root of a system, and a small program to install.
fn system() -> Golden {
    let root = golden::baked();
    fs::create_dir_all(root.path().join("usr/lib/systemd")).unwrap();
    fs::write(root.path().join("usr/lib/systemd/systemd"), header()).unwrap();
    fs::create_dir_all(root.path().join("opt")).unwrap();
    fs::write(root.path().join("opt/agent"), header()).unwrap();
    root
}

/// Of a program for amd64.
fn header() -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(64, 0);
    bytes[18] = 62;
    bytes
}

fn seal(root: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(guest_agent());
    command.arg("--root").arg(root).arg("seal").arg("--program").arg(root.join("opt/agent"));
    command.args(more).env("SOURCE_DATE_EPOCH", "1700000000").output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

fn keys(value: &Value) -> Vec<&String> {
    value.as_object().unwrap().keys().collect()
}

/// Whatever PID 1 is called where the tests run. Only looked at: if this goes wrong, nothing shall happen.
#[test]
fn the_root_of_a_machine_that_works_is_refused() {
    use std::os::unix::process::CommandExt as _;
    let mut stranger = Command::new("sleep").arg("60").process_group(0).spawn().unwrap();
    let refused = Command::new(guest_agent()).args(["seal", "--dry-run", "--json"]).output().unwrap();
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    assert_eq!(refused.status.code(), Some(6), "{refused:?}");
    assert_eq!(json(&refused)["code"], "in-use");
}

/// The sample in docs/golden-images.md has the fields that the program prints, and the program prints the words that it names.
#[test]
fn the_json_is_what_the_documentation_says() {
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/golden-images.md")).unwrap();
    let sample = page.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let sample: Value = serde_json::from_str(sample).unwrap();

    let root = system();
    fs::create_dir_all(root.path().join("root/.ssh")).unwrap();
    fs::write(root.path().join("root/.ssh/authorized_keys"), "ssh-ed25519 AAAA builder\n").unwrap();
    let before = golden::files(root.path());
    let planned = seal(root.path(), &["--dry-run", "--json"]);
    assert_eq!(planned.status.code(), Some(0));
    assert_eq!(golden::files(root.path()), before, "a dry run writes nothing");
    assert_eq!(json(&planned)["state"], "planned");

    let done = seal(root.path(), &["--json"]);
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stdout));
    let done = json(&done);
    assert_eq!(keys(&done), keys(&sample));
    assert_eq!(keys(&done["changes"][0]), keys(&sample["changes"][0]));
    assert_eq!(done["left"], sample["left"], "the very same in this root");
    let changes = done["changes"].as_array().unwrap();
    assert!(changes.contains(&sample["changes"][0]), "{changes:#?}");
    for change in changes {
        let [item, action] = [&change["item"], &change["action"]].map(|word| word.as_str().unwrap());
        assert!(page.contains(&format!("`{action}`")), "{action}");
        assert!(
            firstlight_shared::items::named(item).is_some() || page.contains(&format!("`{item}`")),
            "{item}"
        );
    }

    let again = seal(root.path(), &["--json"]);
    assert_eq!((again.status.code(), &json(&again)["state"]), (Some(0), &Value::from("unchanged")));
}

#[test]
fn the_record_says_what_the_golden_had_and_when_it_was_sealed() {
    let root = system();
    let keys = golden::keys_of(root.path());
    assert_eq!(seal(root.path(), &["--keep", "hostname"]).status.code(), Some(0));
    let record = fs::read(root.path().join("usr/lib/firstlight/golden.json")).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    assert_eq!(record["sealed_at_ms"], 1_700_000_000_000_u64);
    assert_eq!(record["sealed_by"], env!("CARGO_PKG_VERSION"));
    assert_eq!(record["kept"], serde_json::json!(["hostname"]));
    assert_eq!(record["hostnames"], serde_json::json!(["web-01"]));
    let mut recorded: Vec<_> =
        record["host_keys"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    recorded.sort_unstable();
    let mut keys: Vec<_> = keys.iter().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(recorded, keys, "as ssh-keygen reads them");
    assert_eq!(golden::keys_of(root.path()), Vec::<String>::new());
    assert_eq!(fs::read_to_string(root.path().join("etc/hostname")).unwrap(), "web-01\n");
}

#[test]
fn what_is_refused_changes_nothing_and_has_its_exit_code() {
    let root = system();
    fs::write(root.path().join("etc/krb5.keytab"), "keys").unwrap();
    let before = golden::files(root.path());
    let refused = seal(root.path(), &["--json"]);
    assert_eq!((refused.status.code(), &json(&refused)["state"]), (Some(6), &Value::from("refused")));
    assert_eq!(json(&refused)["refused"][0]["item"], "kerberos-keytab");
    assert_eq!(golden::files(root.path()), before);
    assert_eq!(seal(root.path(), &["--keep=kerberos-keytab"]).status.code(), Some(0));

    let empty = tempfile::tempdir().unwrap();
    let none = Command::new(guest_agent())
        .arg("--root")
        .arg(empty.path())
        .args(["seal", "--json"])
        .output()
        .unwrap();
    assert_eq!((none.status.code(), &json(&none)["code"]), (Some(3), &Value::from("no-system")));
}

/// In a chroot without /proc the program is the image's, and needs to know no more.
#[test]
fn in_a_chroot_the_image_is_sealed_from_within() {
    let root = golden::baked();
    fs::create_dir_all(root.path().join("usr/bin")).unwrap();
    fs::create_dir_all(root.path().join("usr/lib/systemd")).unwrap();
    fs::write(root.path().join("usr/lib/systemd/systemd"), header()).unwrap();
    fs::copy(guest_agent(), root.path().join("usr/bin/firstlight-guest")).unwrap();
    let script = "for part in lib lib64 usr/lib/x86_64-linux-gnu; do if [ -e /$part ]; then mkdir -p \"$0/$part\" && \
        mount --rbind /$part \"$0/$part\" && mount -o remount,bind,ro \"$0/$part\"; fi; done; exec chroot \"$0\" /usr/bin/firstlight-guest seal";
    let output = Command::new("unshare").args(["-m", "sh", "-c", script]).arg(root.path()).output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("machine-id: emptied /etc/machine-id"), "{said}");
    assert_eq!(fs::read_to_string(root.path().join("etc/machine-id")).unwrap(), "");
}
