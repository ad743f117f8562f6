//! Secret files: in place before the first unit that needs them, and nowhere else.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use firstlight_shared::wire::{Envelope, secret_prefix};
use firstlight_tests::golden::Variant;
use firstlight_tests::guest::Boot;
use firstlight_tests::rig::Rig;
use firstlight_tests::{run, wait};
use serde_json::Value;

use crate::support::unpacked;

const KEY: &str = "/var/lib/sops-nix/key.txt";
const PASSWORD: &str = "/etc/app/password";
/// ssh.service starts behind the gate: what it reads before it starts was in place by then.
const WITNESS: &str = "[Service]\nExecStartPre=/bin/sh -c 'stat -c \"%%a %%U:%%G\" /var/lib/sops-nix/key.txt /etc/app/password \
                       > /var/lib/seen; sha256sum < /var/lib/sops-nix/key.txt >> /var/lib/seen'\n";

/// A companion with sources: a key in a file, a password that a program prints, and what reads the first of them.
struct Ground {
    rig: Rig,
    key: String,
    password: String,
}

impl Ground {
    fn new() -> Self {
        let mut rig = Rig::new();
        let key = format!("AGE-SECRET-KEY-1{}{}", random_digits(), random_digits());
        let password = random_digits();
        fs::create_dir(rig.path("keys")).unwrap();
        let ground = |name: &str, text: &str, mode| {
            let path = rig.path(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        ground("keys/sealed.txt", &format!("# one per guest\n{key}\n"), 0o600);
        ground("keys/witness.conf", WITNESS, 0o600);
        ground("keys/open.txt", "x", 0o644);
        ground("keys/print", &format!("#!/bin/sh\nprintf %s {password}\n"), 0o700);
        ground(
            "keys/fail",
            &format!("#!/bin/sh\nprintf %s {password}\necho no such entry >&2\nexit 3\n"),
            0o700,
        );
        rig.configure(&format!(
            "[secrets]\nfiles = [{keys:?}]\ncommands = [{print:?}, {fail:?}]\n[log]\nlevel = \"trace\"\n",
            keys = rig.path("keys"),
            print = rig.path("keys/print"),
            fail = rig.path("keys/fail"),
        ));
        rig.serve();
        Self { rig, key, password }
    }

    fn spec(&self, name: &str, secrets: &str) -> String {
        let secrets = secrets.replace("KEYS", &self.rig.path("keys").to_string_lossy());
        self.rig.spec(name, Variant::Agent, &format!("secrets = [{secrets}]"))
    }

    #[track_caller]
    fn assert_free(&self, what: &str, content: &[u8]) {
        let whole = format!("# one per guest\n{}\n", self.key);
        assert_free(&[&self.key, &self.key[20..52], &self.password, &whole], what, content);
    }
}

/// Neither these texts nor what encodings make of them.
#[track_caller]
pub(crate) fn assert_free(secrets: &[&str], what: &str, content: &[u8]) {
    for needle in secrets.iter().flat_map(|secret| encoded(secret)) {
        assert!(!holds(content, needle.as_bytes()), "{what} holds a secret");
    }
}

/// A text as it may stand somewhere.
pub(crate) fn encoded(text: &str) -> [String; 3] {
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let base64 = BASE64_STANDARD.encode(text).trim_end_matches('=').to_owned();
    [text.to_owned(), base64, hex]
}

pub(crate) fn random_digits() -> String {
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn holds(content: &[u8], needle: &[u8]) -> bool {
    let first = needle[0];
    let starts = content.iter().enumerate().filter(|(_, byte)| **byte == first);
    starts.into_iter().any(|(place, _)| content[place..].starts_with(needle))
}

/// Regular files below a folder that were written since then, links not followed.
pub(crate) fn files_since(folder: &Path, since: SystemTime) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(metadata) = fs::symlink_metadata(entry.path()) else { continue };
        if metadata.is_dir() {
            found.extend(files_since(&entry.path(), since));
        } else if metadata.is_file() && metadata.modified().is_ok_and(|written| written >= since) {
            found.push(entry.path());
        }
    }
    found
}

#[test]
fn a_secret_is_there_before_the_first_unit_and_nowhere_else() {
    let began = SystemTime::now() - Duration::from_secs(2);
    let ground = Ground::new();
    let rig = &ground.rig;
    let spec = ground.spec(
        "sealed",
        "{ path = \"/var/lib/sops-nix/key.txt\", file = \"KEYS/{name}.txt\" }, \
         { path = \"/etc/app/password\", command = [\"KEYS/print\"], mode = \"0440\", owner = \"daemon:adm\" }, \
         { path = \"/etc/systemd/system/ssh.service.d/50-witness.conf\", file = \"KEYS/witness.conf\" }",
    );
    let planned = rig.json(&["plan", &spec, "--json"]);
    let steps = planned["guests"][0]["steps"].as_array().unwrap();
    let place =
        |name: &str| steps.iter().position(|step| step == name).unwrap_or_else(|| panic!("{planned:#}"));
    assert!(place("mounts") < place("deliver-secrets") && place("deliver-secrets") < place("start"));
    rig.up(&spec);

    let root = rig.guest_root("sealed");
    let file = |path: &str| root.join(path.trim_start_matches('/'));
    let content = fs::read(file(KEY)).unwrap();
    assert!(holds(&content, ground.key.as_bytes()), "the search finds what is there");
    assert_eq!(fs::read_to_string(file(PASSWORD)).unwrap(), ground.password);
    let told = |path: &str| {
        let found = fs::symlink_metadata(file(path)).unwrap();
        (found.mode() & 0o7777, found.uid(), found.gid())
    };
    assert_eq!((told(KEY), told(PASSWORD)), ((0o400, 0, 0), (0o440, 1, 4)));
    let guest = rig.leader("sealed");
    assert_eq!(guest.final_unit_state("ssh.service").unwrap(), "active", "{}", rig.diagnosis());
    let seen = fs::read_to_string(file("/var/lib/seen")).unwrap();
    let digest = firstlight_shared::wire::sha256_hex(&content);
    assert_eq!(seen, format!("400 root:root\n440 daemon:adm\n{digest}  -\n"));

    // The report carries the first bytes of each digest, and the companion has compared them.
    let shown = rig.json(&["show", "sealed", "--json"]);
    let secrets = shown["job"]["secrets"].as_array().unwrap_or_else(|| panic!("{shown:#}"));
    assert_eq!(secrets.len(), 3);
    assert!(secrets.iter().all(|secret| secret["confirmed"] == true), "{secrets:#?}");
    assert_eq!(secrets[0]["sha256_prefix"], secret_prefix(&content));
    assert_eq!(secrets[1]["sha256_prefix"], secret_prefix(ground.password.as_bytes()));
    assert_eq!((&secrets[1]["mode"], &secrets[1]["owner"]), (&"0440".into(), &"daemon:adm".into()));
    let text = rig.run(&["show", "sealed"]).stdout;
    assert!(text.contains(KEY) && text.contains("as delivered"), "{text}");
    let report = guest.run(&["/usr/bin/cat", "/run/firstlight/report.json"]).unwrap().stdout;
    let opened = serde_json::from_str::<Envelope>(&report).unwrap().open().unwrap().report;
    assert_eq!(opened.secrets.len(), 3);
    // What was delivered is no leftover of the golden's.
    let items = &opened.identity.items;
    assert!(items.iter().all(|item| !item.detail.contains("sops-nix")), "{items:?}");

    // Applied again: the same guest, and no secret is read.
    let again = rig.run(&["up", &spec, "--json"]);
    assert!(again.ok() && again.stdout.contains("sealed"), "{}", again.said());

    assert_nothing_tells(&ground, began);
    let destroyed = rig.run(&["destroy", "sealed"]);
    assert!(destroyed.ok(), "{}", destroyed.said());
    assert!(!rig.guest_root("sealed").exists());
    assert_nothing_tells(&ground, began);
}

/// Journal, store, log, answers, processes, consoles, and all of the guest but the files themselves.
fn assert_nothing_tells(ground: &Ground, began: SystemTime) {
    let rig = &ground.rig;
    for words in [
        &["show", "sealed"][..],
        &["show", "sealed", "--json"],
        &["jobs", "--json"],
        &["reports", "--json"],
        &["config", "check", "--json"],
        &["store", "export"],
    ] {
        ground.assert_free(&words.join(" "), rig.run(words).said().as_bytes());
    }
    let mut looked = 0;
    for path in files_since(&rig.state().join(".."), began) {
        let is_source = path.components().any(|part| part.as_os_str() == "keys");
        let is_secret =
            path.ends_with(KEY.trim_start_matches('/')) || path.ends_with(PASSWORD.trim_start_matches('/'));
        if is_source || is_secret {
            continue;
        }
        ground.assert_free(&path.display().to_string(), &fs::read(&path).unwrap_or_default());
        looked += 1;
    }
    assert!(looked >= 4, "store, log and more: {looked}");
    let log = fs::read_to_string(rig.state().with_extension("companion.log")).unwrap();
    assert!(
        log.contains("deliver-secrets") && log.contains("DEBUG"),
        "the log tells all: {}",
        run::tail(&log, 20)
    );
    for (name, content) in said_by_processes() {
        ground.assert_free(&name, &content);
    }
    // What the guest sees beside its disk: credentials, /run, /tmp.
    if let Some(guest) = firstlight_tests::guest::Leader::of(&rig.guest_root("sealed")) {
        for folder in ["run", "tmp", "dev/shm"] {
            for path in files_since(
                &PathBuf::from(format!("/proc/{}/root/{folder}", guest.0)),
                SystemTime::UNIX_EPOCH,
            ) {
                ground.assert_free(&path.display().to_string(), &fs::read(&path).unwrap_or_default());
            }
        }
    }
}

/// Command lines and environments of all processes, those of guests among them.
pub(crate) fn said_by_processes() -> Vec<(String, Vec<u8>)> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let files = processes.flat_map(|process| ["cmdline", "environ"].map(|name| process.path().join(name)));
    files.map(|path| (path.display().to_string(), fs::read(&path).unwrap_or_default())).collect()
}

#[test]
fn what_cannot_be_delivered_is_said_and_leaves_nothing() {
    let ground = Ground::new();
    let rig = &ground.rig;
    // Seen before anything is made.
    for (secret, said) in [
        ("{ path = \"/etc/k\", file = \"KEYS/absent.txt\" }", "No such file"),
        ("{ path = \"/etc/k\", file = \"KEYS/open.txt\" }", "others may read it"),
        ("{ path = \"/etc/k\", file = \"/etc/shadow\" }", "secrets.files"),
        ("{ path = \"/etc/k\", command = [\"/bin/cat\", \"/etc/shadow\"] }", "secrets.commands"),
        ("{ path = \"/run/k\", file = \"KEYS/refused.txt\" }", "hides it"),
    ] {
        let ran = rig.run(&["up", &ground.spec("refused", secret)]);
        assert_eq!(ran.code, 3, "{secret}: {}", ran.said());
        assert!(ran.said().contains(said), "{secret}: {}", ran.said());
    }
    assert_eq!(rig.json(&["jobs", "--json"])["jobs"].as_array().map(Vec::len), Some(0));
    // Seen in the step.
    for (secret, said) in [
        ("{ path = \"/etc/k\", command = [\"KEYS/fail\"] }", "no such entry"),
        ("{ path = \"/etc/k\", command = [\"KEYS/print\"], owner = \"nobody-here:root\" }", "nobody-here"),
        ("{ path = \"/var/run/k\", command = [\"KEYS/print\"] }", "mounts something over it"),
    ] {
        let ran = rig.run(&["up", &ground.spec("failing", secret)]);
        assert_eq!(ran.code, 3, "{secret}: {}", ran.said());
        assert!(ran.said().contains(said), "{secret}: {}", ran.said());
        ground.assert_free("the failure", ran.said().as_bytes());
        let shown = rig.run(&["show", "failing", "--json"]).stdout;
        ground.assert_free("the failed job", shown.as_bytes());
        assert_eq!(rig.job_state("failing").as_deref(), Some("rolled-back"));
        assert!(!rig.guest_root("failing").exists(), "{secret}");
    }
}

#[test]
fn a_guest_puts_what_was_passed_to_its_place() {
    let root = unpacked(Variant::Agent);
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "etc/firstlight/guest.toml",
        "[ssh_host_keys]\ntypes = [\"ed25519\"]\n[checks]\nskip = [\"network\"]\n",
    );
    write("etc/systemd/system/ssh.service.d/50-witness.conf", WITNESS);
    let claim = r#"{"version":1,"id":"c","secrets":[
        {"path":"/var/lib/sops-nix/key.txt","mode":"0400","owner":"root:root"},
        {"path":"/etc/app/password","mode":"0440","owner":"daemon:adm"},
        {"path":"/etc/app/absent","mode":"0400","owner":"root:root"}]}"#;
    let boot = Boot::named("passed")
        .credential("firstlight.claim", claim)
        .credential("firstlight.secret.0", "hunter2\n")
        .variable("FIRSTLIGHT_SECRET_1", &BASE64_STANDARD.encode("passw0rd"));
    let booted = root.boot_as(&boot).unwrap();
    let (guest, _) = booted.settled().unwrap();
    assert_eq!(guest.final_unit_state("ssh.service").unwrap(), "active", "{}", booted.console());
    let digest = firstlight_shared::wire::sha256_hex(b"hunter2\n");
    let seen = fs::read_to_string(root.path().join("var/lib/seen")).unwrap();
    assert_eq!(seen, format!("400 root:root\n440 daemon:adm\n{digest}  -\n"));
    assert_eq!(fs::read(root.path().join("etc/app/password")).unwrap(), b"passw0rd");
    let envelope: Value = wait::until("the report", Duration::from_secs(60), || {
        let ran = guest.run(&["/usr/bin/cat", "/run/firstlight/report.json"]).ok().filter(run::Ran::ok)?;
        serde_json::from_str(&ran.stdout).ok()
    })
    .unwrap_or_else(|error| panic!("{error}: {}", booted.console()));
    let report = serde_json::from_value::<Envelope>(envelope).unwrap().open().unwrap().report;
    let told: Vec<_> =
        report.secrets.iter().map(|one| (one.sha256_prefix.as_deref(), one.problem.as_deref())).collect();
    let (first, second) = (secret_prefix(b"hunter2\n"), secret_prefix(b"passw0rd"));
    assert_eq!(
        told,
        [(Some(first.as_str()), None), (Some(second.as_str()), None), (None, Some("it is not there"))]
    );
    assert!(report.identity.problems.iter().any(|problem| problem.contains("/etc/app/absent")));
}
