//! A running guest is asked once more, and what it says is evidence: for the companion, and for somebody who has only the file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use firstlight_tests::golden::Variant;
use firstlight_tests::paths;
use firstlight_tests::rig::Rig;
use firstlight_tests::run::{self, Ran};
use serde_json::Value;

use crate::support::archive;

const GUEST: &str = "web-01";

/// A golden of its own: a stack, a link as NixOS has its closure, and a check of the certificate that the companion serves,
/// which has another one after each start.
fn golden(rig: &Rig) -> PathBuf {
    let pin = rig.run(&["pin"]);
    assert!(pin.ok(), "{}", pin.said());
    let checks = format!(
        "[[check]]\nid = \"closure\"\nkind = \"symlink\"\npath = \"/opt/current\"\ntarget_prefix = \"/opt/store/\"\n\
         [[check]]\nid = \"stack\"\nkind = \"unit\"\nunit = \"stack.service\"\n\
         [[check]]\nid = \"leaf\"\nkind = \"tls-leaf\"\naddress = \"10.77.0.1:{}\"\npin = \"{}\"\n",
        rig.port(),
        pin.stdout.trim()
    );
    let unit = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n";
    let layer = rig.path("layer");
    for (path, text) in [
        ("etc/firstlight/checks.d/50-field.toml", checks.as_str()),
        ("etc/systemd/system/stack.service", unit),
        ("opt/store/one", ""),
        ("opt/store/two", ""),
    ] {
        let path = layer.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    std::os::unix::fs::symlink("/opt/store/one", layer.join("opt/current")).unwrap();
    let wants = layer.join("etc/systemd/system/multi-user.target.wants");
    fs::create_dir_all(&wants).unwrap();
    std::os::unix::fs::symlink("/etc/systemd/system/stack.service", wants.join("stack.service")).unwrap();
    let golden = rig.path("golden.tar");
    fs::copy(archive(Variant::Agent), &golden).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["--owner=0", "--group=0", "--numeric-owner", "-rf"]).arg(&golden).arg("-C").arg(&layer);
    run::must(tar.args(["./etc/firstlight", "./etc/systemd/system", "./opt"])).unwrap();
    golden
}

fn up(rig: &Rig) {
    let spec = rig.spec_of(GUEST, &golden(rig), "");
    assert_eq!(rig.up(&spec)[0]["trust"], "attested");
}

fn verify(rig: &Rig, more: &[&str]) -> (Ran, Value) {
    let ran = rig.run(&[&["verify", GUEST, "--json"], more].concat());
    let answer = serde_json::from_str(&ran.stdout).unwrap_or_default();
    (ran, answer)
}

/// What does not hold, as the file has it.
pub(crate) fn broken(answer: &Value) -> Vec<String> {
    let text = answer["file"]["text"].as_str().unwrap_or_else(|| panic!("no file in {answer:#}"));
    let statement: Value = serde_json::from_str(text).unwrap();
    let lines = statement["comparison"].as_array().unwrap().iter().filter(|one| one["holds"] == false);
    lines
        .map(|one| format!("{} {}", one["what"].as_str().unwrap(), one["outcome"].as_str().unwrap()))
        .collect()
}

/// Keys as an operator would gather them.
fn known_keys(rig: &Rig) -> PathBuf {
    let known = rig.path("known");
    let (hosts, companion) = (rig.run(&["known-hosts", GUEST]), rig.run(&["verify", "--public-key"]));
    assert!(hosts.ok() && companion.ok(), "{} {}", hosts.said(), companion.said());
    fs::write(&known, hosts.stdout + &companion.stdout).unwrap();
    known
}

fn check(rig: &Rig, file: &Path, known: &Path) -> Ran {
    second_operator(&rig.path("elsewhere"), file, known)
}

/// Somebody with another folder, no state and no companion.
pub(crate) fn second_operator(elsewhere: &Path, file: &Path, known: &Path) -> Ran {
    fs::create_dir_all(elsewhere).unwrap();
    let mut command = Command::new(paths::given(paths::COMPANION_VARIABLE));
    command.args(["verify", "--file"]).arg(file).arg("--known-keys").arg(known).current_dir(elsewhere);
    command.env("FIRSTLIGHT_STATE", elsewhere.join("no-state"));
    let ran = run::run(&mut command).unwrap();
    assert!(!elsewhere.join("no-state").exists(), "a state folder was made");
    ran
}

/// OpenSSH's own verdict on a file and on the guest's words in it.
fn ssh_keygen(rig: &Rig, file: &Path, known: &Path) -> [bool; 2] {
    let file: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let statement: Value = serde_json::from_str(file["text"].as_str().unwrap()).unwrap();
    // The names of known_hosts are those of allowed_signers: one guest, and its address.
    let judge = |signed: &Value, who: &str, namespace: &str| {
        let (signature, text) = (rig.path("text.sig"), rig.path("text"));
        fs::write(&signature, signed["signature"].as_str().unwrap()).unwrap();
        fs::write(&text, signed["text"].as_str().unwrap()).unwrap();
        let mut command = Command::new("ssh-keygen");
        command.args(["-Y", "verify", "-I", who, "-n", namespace, "-f"]).arg(known).arg("-s").arg(&signature);
        let input = fs::File::open(&text).unwrap();
        command.stdin(input).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    };
    [
        judge(&file, "firstlight-companion", "evidence-file.v1@firstlight"),
        judge(&statement["evidence"], GUEST, "evidence.v1@firstlight"),
    ]
}

#[test]
fn a_guest_holds_until_something_in_it_breaks_and_the_file_proves_it_to_anybody() {
    let mut rig = Rig::serving();
    up(&rig);
    let before = rig.leader(GUEST).run(&["sh", "-c", FILES]).unwrap().stdout;

    // As it was.
    let file = rig.path("web-01.evidence");
    let (ran, answer) = verify(&rig, &["--out", file.to_str().unwrap()]);
    assert!(ran.ok(), "{}\n{}", ran.said(), rig.diagnosis());
    assert_eq!((&answer["state"], &answer["holds"]), (&"made".into(), &true.into()), "{answer:#}");
    assert_eq!(broken(&answer), [""; 0]);
    assert_eq!(rig.leader(GUEST).run(&["sh", "-c", FILES]).unwrap().stdout, before, "it changed something");
    let again = rig.run(&["verify", GUEST, "--out", file.to_str().unwrap()]);
    assert_eq!(again.code, 3, "a file was overwritten: {}", again.said());

    // The second operator.
    let known = known_keys(&rig);
    let ran = check(&rig, &file, &known);
    assert!(ran.ok(), "{}", ran.said());
    for line in
        ["holds        yes", "check closure", "/opt/store/one", "check leaf", "machine-id", "ssh-host-keys"]
    {
        assert!(ran.stdout.contains(line), "no `{line}` in\n{}", ran.stdout);
    }
    assert_eq!(ssh_keygen(&rig, &file, &known), [true, true]);

    // One byte, a key too few, a key of another.
    let bytes = fs::read_to_string(&file).unwrap();
    let tampered = rig.path("tampered");
    for (from, to) in
        [("/opt/store/one", "/opt/store/onf"), (r#"\"guest\":\"web-01\""#, r#"\"guest\":\"web-02\""#)]
    {
        assert!(bytes.contains(from), "no `{from}` in the file");
        fs::write(&tampered, bytes.replacen(from, to, 1)).unwrap();
        let ran = check(&rig, &tampered, &known);
        assert_eq!(ran.code, 3, "{from}: {}", ran.said());
        assert!(ran.stderr.contains("was changed after it was signed"), "{}", ran.said());
        assert!(!ssh_keygen(&rig, &tampered, &known)[0]);
    }
    let only_guest = rig.path("only-guest");
    fs::write(&only_guest, rig.run(&["known-hosts", GUEST]).stdout).unwrap();
    let ran = check(&rig, &file, &only_guest);
    assert_eq!(ran.code, 3, "{}", ran.said());
    assert!(
        ran.stderr.contains("the companion's key") && ran.stderr.contains("--public-key"),
        "{}",
        ran.said()
    );

    // Three things break at once, each named; and are mended again.
    let leader = rig.leader(GUEST);
    for words in [
        &["systemctl", "stop", "stack.service"][..],
        &["systemd-run", "--wait", "--unit=broken.service", "/bin/false"],
        &["ln", "-sfn", "/opt/store/two", "/opt/current"],
    ] {
        leader.run(words).unwrap();
    }
    let worse = rig.path("worse.evidence");
    let (ran, answer) = verify(&rig, &["--out", worse.to_str().unwrap()]);
    assert_eq!(ran.code, 1, "{}", ran.said());
    let mut found = broken(&answer);
    found.sort();
    let expected = [
        "check closure differs",
        "check stack worse",
        "check system-running worse",
        "failed-units worse",
        "system worse",
    ];
    assert_eq!(found, expected, "{answer:#}");
    let ran = check(&rig, &worse, &known);
    assert_eq!(ran.code, 1, "{}", ran.said());
    assert!(
        ran.stdout.contains("1: broken.service") && ran.stdout.contains("/opt/store/two"),
        "{}",
        ran.stdout
    );
    for words in [
        &["systemctl", "start", "stack.service"][..],
        &["systemctl", "reset-failed"],
        &["ln", "-sfn", "/opt/store/one", "/opt/current"],
    ] {
        assert!(leader.run(words).unwrap().ok(), "{words:?}");
    }
    let (ran, _) = verify(&rig, &[]);
    assert!(ran.ok(), "{}", ran.said());

    // The companion serves another certificate of the same key now: the check is content, the comparison is not.
    rig.kill_companion();
    rig.serve();
    let (ran, answer) = verify(&rig, &[]);
    assert_eq!(ran.code, 1, "{}", ran.said());
    assert_eq!(broken(&answer), ["check leaf differs"], "{answer:#}");

    // All of it is on record.
    let listed = rig.json(&["reports", GUEST, "--json"]);
    let holds: Vec<bool> =
        listed["evidence"].as_array().unwrap().iter().map(|one| one["holds"].as_bool().unwrap()).collect();
    assert_eq!(holds, [false, true, false, true], "{:#}", listed["evidence"]);
    assert!(rig.run(&["show", GUEST]).stdout.contains("VERIFIED"), "{}", rig.run(&["show", GUEST]).stdout);
}

/// Everything that a look could have changed.
const FILES: &str = "find /etc /var/lib/firstlight /run/firstlight /root -xdev -printf '%p %s %T@\\n' | sort";

#[test]
fn a_guest_in_which_nothing_can_be_run_sends_evidence_by_itself() {
    let rig = Rig::serving();
    up(&rig);
    let leader = rig.leader(GUEST);
    let state = |unit: &str| leader.unit_state(unit).unwrap();
    assert_eq!(state("firstlight-evidence.timer"), "inactive", "it is off unless somebody enables it");
    let ask = |since_ms: u64| -> Value {
        let mut curl = Command::new("curl");
        curl.args(["-s", "--unix-socket"]).arg(rig.state().join("control.sock"));
        curl.args(["-d", &format!("{{\"since_ms\":{since_ms}}}"), "http://x/v1/guests/web-01/verify"]);
        serde_json::from_str(&run::must(&mut curl).unwrap()).unwrap()
    };
    let nothing = ask(0);
    assert_eq!(
        (&nothing["state"], &nothing["timer"]),
        (&"at-next-boot".into(), &false.into()),
        "{nothing:#}"
    );

    // What the timer starts.
    let ran = leader.run(&["/usr/bin/systemctl", "start", "firstlight-evidence.service"]).unwrap();
    assert!(ran.ok(), "{}", ran.said());
    let said =
        leader.run(&["/usr/bin/journalctl", "--merge", "-u", "firstlight-evidence.service"]).unwrap().stdout;
    assert!(said.contains("the evidence was acknowledged over https://10.77.0.1:"), "{said}");
    let made = ask(0);
    assert_eq!((&made["state"], &made["holds"]), (&"made".into(), &true.into()), "{made:#}");
    let statement: Value = serde_json::from_str(made["file"]["text"].as_str().unwrap()).unwrap();
    assert_eq!(statement["asked"]["over"], "timer");
    assert_eq!(ask(statement["answered_at_ms"].as_u64().unwrap())["state"], "at-next-boot", "that was all");

    let file = rig.path("timer.evidence");
    fs::write(&file, made["file"].to_string()).unwrap();
    let ran = check(&rig, &file, &known_keys(&rig));
    assert!(ran.ok() && ran.stdout.contains("by its own timer"), "{}", ran.said());
    assert!(
        leader.run(&["/usr/bin/systemctl", "enable", "--now", "firstlight-evidence.timer"]).unwrap().ok()
    );
    assert_eq!(state("firstlight-evidence.timer"), "active");
}

#[test]
fn whoever_answers_for_a_guest_is_not_believed() {
    let rig = Rig::serving();
    up(&rig);
    let leader = rig.leader(GUEST);
    let real = leader.run(&["firstlight-guest", "verify", "--json", "--nonce", &"0f".repeat(16)]).unwrap();
    assert!(real.ok(), "{}", real.said());

    // An old answer, printed again by something in the agent's place. Before it, in the guest's PATH.
    let impostor = |script: &str| {
        fs::write(rig.guest_root(GUEST).join("usr/local/sbin/old"), &real.stdout).unwrap();
        let place = rig.guest_root(GUEST).join("usr/local/sbin/firstlight-guest");
        fs::write(&place, format!("#!/bin/sh\n{script}\n")).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&place, mode).unwrap();
        verify(&rig, &[]).0
    };
    for (script, said) in [
        ("exec cat /usr/local/sbin/old", "another challenge"),
        ("sed 's/ready/raedy/' /usr/local/sbin/old", "was changed after it was signed"),
        ("echo '{}'; exit 0", "gave no evidence"),
        ("echo oops >&2; exit 2", "oops"),
        ("kill -9 $$", "gave no evidence"),
    ] {
        let ran = impostor(script);
        assert_eq!(ran.code, 1, "{script}: {}", ran.said());
        assert!(ran.stderr.contains(said), "{script}: {}", ran.said());
    }
    let refused: Vec<String> = rig
        .refusals()
        .iter()
        .map(|refused| refused["code"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert!(refused.contains(&"evidence-replayed".to_owned()), "{refused:?}");
    assert!(refused.contains(&"evidence-bad-signature".to_owned()), "{refused:?}");
    fs::remove_file(rig.guest_root(GUEST).join("usr/local/sbin/firstlight-guest")).unwrap();
    let (ran, _) = verify(&rig, &[]);
    assert!(ran.ok(), "{}", ran.said());

    // Other keys: the guest's word counts for nothing.
    let other = "mv /etc/ssh/ssh_host_ed25519_key /root/kept; ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key";
    assert!(leader.run(&["sh", "-c", other]).unwrap().ok());
    let ran = verify(&rig, &[]).0;
    assert_eq!(ran.code, 1, "{}", ran.said());
    assert!(ran.stderr.contains("none of the host keys verified at the bring-up"), "{}", ran.said());

    // It is not there to answer.
    leader.run(&["systemctl", "--no-block", "poweroff"]).unwrap();
    firstlight_tests::wait::until("the guest to be off", std::time::Duration::from_secs(60), || {
        (!leader.alive()).then_some(())
    })
    .unwrap();
    let ran = verify(&rig, &[]).0;
    assert_eq!(ran.code, 1, "{}", ran.said());
    assert!(ran.stderr.contains("does not run"), "{}", ran.said());
    assert_eq!(rig.run(&["verify", "nobody"]).code, 5);
}
