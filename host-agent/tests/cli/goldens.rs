//! `firstlight golden lint` on folders and files, and what a companion keeps of it.

use std::path::Path;

use firstlight_tests::run::Ran;

use crate::rig::{Rig, program, run};

const UNITS: &str = "usr/lib/systemd/system";
const KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAE\n";

/// The least root that no error is said of.
fn sealed(root: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(64, 0);
    elf[18] = 62;
    let mut agent = elf.clone();
    agent.extend_from_slice(format!("\0firstlight-guest {}\n", env!("CARGO_PKG_VERSION")).as_bytes());
    let put = |path: &str, bytes: &[u8]| {
        let file = root.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, bytes).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    put("etc/machine-id", b"");
    put("usr/lib/os-release", b"ID=debian\n");
    put("usr/lib/systemd/systemd", &elf);
    put("usr/bin/firstlight-guest", &agent);
    for unit in ["firstlight-gate.target", "firstlight-identity.service", "firstlight-report.service"] {
        put(&format!("{UNITS}/{unit}"), b"");
    }
    put(&format!("{UNITS}/sysinit.target.wants/firstlight-gate.target"), b"");
    put("etc/systemd/system/firstlight-gate.target.requires/firstlight-identity.service", b"");
    put("etc/systemd/system/multi-user.target.wants/firstlight-report.service", b"");
}

async fn lint(words: &[&str]) -> Ran {
    run(program(&[&["golden", "lint"], words].concat())).await
}

#[tokio::test]
async fn a_golden_is_judged_with_an_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let path = root.to_str().unwrap();
    sealed(&root);
    let ran = lint(&[path]).await.ends_with(0);
    assert!(ran.stdout.is_empty() && ran.stderr.starts_with("nothing found in "), "{ran:#?}");

    std::fs::write(root.join("etc/hostname"), "golden\n").unwrap();
    let ran = lint(&[path]).await.ends_with(0);
    assert!(ran.stdout.contains("warning") && ran.stdout.contains("/etc/hostname"), "{ran:#?}");
    lint(&[path, "--deny", "warning"]).await.ends_with(1);

    std::fs::create_dir(root.join("etc/ssh")).unwrap();
    std::fs::write(root.join("etc/ssh/ssh_host_\u{1b}[31m_key"), KEY).unwrap();
    let ran = lint(&[path]).await.ends_with(1);
    assert!(ran.stdout.contains("ssh-host-keys") && ran.stdout.contains("\\u{1b}[31m"), "{ran:#?}");
    assert!(!ran.stdout.contains('\u{1b}') && ran.stderr.starts_with("1 error, 1 warning in "), "{ran:#?}");
    // A container of Proxmox on Debian needs ifupdown.
    let ran = lint(&[path, "--for", "proxmox-lxc", "--json"]).await.ends_with(1).json();
    let rules: Vec<_> = ran["findings"].as_array().unwrap().iter().map(|finding| &finding["rule"]).collect();
    assert_eq!(rules, ["no-ifupdown", "ssh-host-keys", "hostname"]);
    assert_eq!((&ran["shape"], &ran["target"]), (&"folder".into(), &"proxmox-lxc".into()));
}

#[tokio::test]
async fn findings_go_to_ci_as_sarif() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    sealed(&root);
    std::fs::create_dir_all(root.join("opt")).unwrap();
    std::fs::write(root.join("opt/key.pem"), KEY).unwrap();
    let log = folder.path().join("golden.sarif");
    lint(&[root.to_str().unwrap(), "--sarif", log.to_str().unwrap()]).await.ends_with(1);
    let log: serde_json::Value = serde_json::from_slice(&std::fs::read(&log).unwrap()).unwrap();
    assert_eq!(log["version"], "2.1.0");
    assert_eq!(log["runs"][0]["results"][0]["ruleId"], "private-key");
    let nowhere = lint(&[root.to_str().unwrap(), "--sarif", "/no/such/x"]).await.ends_with(4);
    nowhere.tells(&["/no/such/x"]);
}

#[tokio::test]
async fn what_is_no_golden_is_told_apart_from_what_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x");
    let path = file.to_str().unwrap();
    lint(&[path]).await.ends_with(3).tells(&["cannot be looked at"]);
    for text in ["", "hello", "\u{1f}\u{8b}"] {
        std::fs::write(&file, text).unwrap();
        lint(&[path]).await.ends_with(3).tells(&["a golden is a root folder"]);
    }
    lint(&[folder.path().to_str().unwrap()]).await.ends_with(3).tells(&["no root of a system"]);
    std::fs::write(&file, "hsqs and so on").unwrap();
    let ran = lint(&[path]).await.ends_with(4).tells(&["format that is not read"]);
    assert!(
        ran.stdout.contains("format-not-read") && ran.stdout.contains("a squashfs is not read"),
        "{ran:#?}"
    );
    lint(&[path, "--for", "vmware"]).await.ends_with(2);
    lint(&[path, "--limit", "x"]).await.ends_with(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_is_kept_with_a_companion_and_without() {
    let mut rig = Rig::serving().await;
    let golden = rig.path("golden.tar");
    let mut builder = Vec::new();
    {
        let mut tar = tar::Builder::new(&mut builder);
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(7);
        tar.append_data(&mut header, "./etc/machine-id", &b"golden\n"[..]).unwrap();
        tar.finish().unwrap();
    }
    std::fs::write(&golden, builder).unwrap();
    let path = golden.to_str().unwrap();
    let kept = async |rig: &Rig| {
        let service = &rig.companion.as_ref().unwrap().service;
        service.store.golden_verdicts().await.unwrap()
    };
    let ran = rig.run(&["golden", "lint", path, "--record", "--json"]).await.ends_with(1);
    let report = ran.json();
    let first = kept(&rig).await;
    let [verdict] = &first[..] else { panic!("{first:?}") };
    assert_eq!((verdict.backend.as_str(), verdict.mark.as_str()), ("local", "paper"));
    assert_eq!(verdict.golden, golden.canonicalize().unwrap().to_str().unwrap());
    assert_eq!(verdict.look.findings.len(), report["findings"].as_array().unwrap().len());
    assert!(
        verdict.look.errors > 0 && verdict.look.refused.is_none() && !verdict.by.is_empty(),
        "{verdict:?}"
    );

    // Without a companion it goes into the store that one left; the real local backend knows its size.
    rig.stop().await;
    let record = format!("--record=local:{}", rig.path("firstlight.toml").display());
    let config = rig.config();
    let other = rig.run(&["--config", &config, "golden", "lint", path, &record]).await;
    other.ends_with(3).tells(&["it is another"]);
    rig.run(&["--config", &config, "golden", "lint", path, "--record"]).await.ends_with(1);
    rig.serve().await;
    let second = kept(&rig).await;
    assert!(second.len() == 1 && second[0].mark.contains("bytes of"), "{second:?}");
    assert!(second[0].at_ms > first[0].at_ms);
    rig.stop().await;

    // Nobody there, and no store either.
    let nowhere = tempfile::tempdir().unwrap();
    let mut command = program(&["golden", "lint", path, "--record"]);
    command.env("FIRSTLIGHT_STATE", nowhere.path().join("state"));
    run(command).await.ends_with(5);
    run(program(&["golden", "lint", path, "--record=incus"])).await.ends_with(2);
}
