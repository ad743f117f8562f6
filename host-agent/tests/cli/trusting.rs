//! Trust in guests' keys: known_hosts printed and followed, SSHFP records, the list of revoked keys.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::rig::Rig;

/// What `ssh-keygen` says, and how it ends.
fn ssh_keygen(words: &[&str]) -> (i32, String) {
    let said = std::process::Command::new("ssh-keygen").args(words).output().unwrap();
    (said.status.code().unwrap_or(-1), String::from_utf8_lossy(&said.stdout).into_owned())
}

async fn await_file(path: &Path, what: &str, is_so: impl Fn(&str) -> bool) -> String {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if is_so(&text) {
            return text;
        }
        assert!(Instant::now() < deadline, "{what}: {text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_are_found_hashed_and_by_their_port_and_as_records() {
    let rig = Rig::serving().await;
    rig.run(&["up", &rig.spec(&["web-01", "web-02"], "")]).await.ends_with(0);
    let plain = rig.run(&["known-hosts", "web-01"]).await.ends_with(0).stdout;
    let key = plain.split_once(' ').unwrap().1.trim();
    let file = rig.path("known_hosts");
    let path = file.to_str().unwrap();
    for (words, name) in [
        (&["known-hosts", "--hash"][..], "web-01"),
        (&["known-hosts", "--port", "2222"], "[web-01]:2222"),
        (&["known-hosts", "--port", "2222", "--hash"], "[web-01]:2222"),
    ] {
        let printed = rig.run(words).await.ends_with(0).stdout;
        assert_eq!(printed.contains("web-01"), !words.contains(&"--hash"), "{printed}");
        std::fs::write(&file, printed).unwrap();
        let (code, found) = ssh_keygen(&["-F", name, "-f", path]);
        assert!(code == 0 && found.contains(key), "{words:?}: {found}");
        assert_ne!(ssh_keygen(&["-F", "web-03", "-f", path]).0, 0);
    }
    rig.run(&["known-hosts", "--port", "0"]).await.ends_with(2);

    let records = rig.run(&["sshfp", "web-01"]).await.ends_with(0).stdout;
    let public = rig.path("key.pub");
    std::fs::write(&public, format!("{key}\n")).unwrap();
    assert_eq!(records, ssh_keygen(&["-r", "web-01", "-f", public.to_str().unwrap()]).1);
    let zoned = rig.run(&["sshfp", "--zone", "lab.example"]).await.ends_with(0).stdout;
    assert_eq!(zoned.lines().count(), 4, "{zoned}");
    assert!(zoned.lines().all(|line| line.contains(".lab.example. IN SSHFP 4 ")), "{zoned}");
    rig.run(&["sshfp", "web-03"]).await.ends_with(5).tells(&["web-03"]);
    rig.run(&["sshfp", "--zone", "a b"]).await.ends_with(2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_of_a_guest_that_is_gone_is_revoked_and_no_other() {
    let rig = Rig::serving().await;
    rig.run(&["up", &rig.spec(&["web-01", "web-02"], "")]).await.ends_with(0);
    let key = async |guest: &str| {
        let line = rig.run(&["known-hosts", guest]).await.ends_with(0).stdout;
        let path = rig.path(&format!("{guest}.pub"));
        std::fs::write(&path, line.split_once(' ').unwrap().1).unwrap();
        path.display().to_string()
    };
    let (gone, lives) = (key("web-01").await, key("web-02").await);
    let list = rig.path("krl").display().to_string();
    let revoked = async |file: &str| {
        let ran = rig.run(&["krl", "--out", &list]).await.ends_with(0);
        assert!(ran.stdout.is_empty(), "{ran:#?}");
        let (code, said) = ssh_keygen(&["-Q", "-f", &list, file]);
        assert!(code == 0 || said.contains("REVOKED"), "{code}: {said}");
        code != 0
    };
    assert!(!revoked(&gone).await && !revoked(&lives).await);
    rig.run(&["destroy", "web-01"]).await.ends_with(0);
    assert!(revoked(&gone).await && !revoked(&lives).await);
    // Also without a companion, and where nobody may write.
    rig.run(&["krl", "--out", "/proc/krl"]).await.ends_with(4).tells(&["/proc/krl"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_followed_file_is_current_and_keeps_what_others_wrote() {
    let mut rig = Rig::serving().await;
    let file = rig.path("known_hosts");
    std::fs::write(&file, "mine ssh-ed25519 AAAA\n").unwrap();
    let mut follow = rig.start(&["known-hosts", "--follow", file.to_str().unwrap()]);
    follow.says("0 guests").await;
    rig.run(&["up", &rig.spec(&["web-01", "web-02"], "")]).await.ends_with(0);
    let both = |text: &str| text.contains("web-01,") && text.contains("web-02,");
    await_file(&file, "both are there", both).await;
    let mine = std::fs::read_to_string(&file).unwrap() + "mine-too ssh-ed25519 AAAA\n";
    std::fs::write(&file, mine).unwrap();
    rig.run(&["destroy", "web-01"]).await.ends_with(0);
    let text = await_file(&file, "one is gone", |text| !text.contains("web-01,")).await;
    assert!(text.starts_with("mine ") && text.ends_with("mine-too ssh-ed25519 AAAA\n"), "{text}");
    assert!(text.contains("web-02,"), "{text}");

    rig.stop().await;
    follow.says("went away").await;
    rig.serve().await;
    follow.says("is back").await;
    rig.run(&["up", &rig.spec(&["web-03"], "")]).await.ends_with(0);
    await_file(&file, "it goes on", |text| text.contains("web-03,")).await;
    follow.interrupt();
    follow.end().await.ends_with(0);

    // A block whose end is gone is somebody's to mend.
    std::fs::write(&file, "# firstlight known-hosts: begin\nmine ssh-ed25519 AAAA\n").unwrap();
    let refused = rig.run(&["known-hosts", "--follow", file.to_str().unwrap()]).await;
    refused.ends_with(4).tells(&["known_hosts", "no end"]);
    assert!(std::fs::read_to_string(&file).unwrap().contains("mine"));
    rig.stop().await;
    rig.run(&["known-hosts", "--follow", file.to_str().unwrap()]).await.ends_with(5);
}
