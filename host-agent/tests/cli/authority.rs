//! The host CA: its key, and the certificates that guests get with their acknowledgements.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output};
use std::time::Duration;

use firstlight::clock::now_ms;
use firstlight_shared::paths::{CHALLENGE_ENDPOINT, EVIDENCE_ENDPOINT, REPORT_ENDPOINT};
use firstlight_shared::wire::{Ack, ChallengeText};

use crate::hypervisor::post::post_to;
use crate::hypervisor::report::{Guest, evidence};
use crate::rig::Rig;

fn run(program: &str, words: &[&str]) -> Output {
    Command::new(program).args(words).output().unwrap()
}

/// What `ssh-keygen -L` reads of a certificate.
fn read(folder: &Path, line: &str) -> String {
    let file = folder.join("some-cert.pub");
    std::fs::write(&file, format!("{line}\n")).unwrap();
    let said = run("ssh-keygen", &["-L", "-f", file.to_str().unwrap()]);
    assert!(said.status.success(), "{line}: {said:?}");
    String::from_utf8(said.stdout).unwrap()
}

fn serial(shown: &str) -> &str {
    shown.lines().find_map(|line| line.trim().strip_prefix("Serial: ")).unwrap()
}

impl Rig {
    async fn post(&self, guest: &str, place: &str, body: String) -> (u16, String) {
        let machine = self.hypervisor.machine(guest).unwrap();
        let guest = Guest { name: machine.guest, mac: machine.mac, address: machine.addresses[0] };
        post_to(self.reports, guest.source(), place, body).await.unwrap()
    }

    /// The certificates of the acknowledgement: the same bytes again get the same answer.
    async fn acknowledged(&self, guest: &str) -> Vec<String> {
        let report = self.hypervisor.machine(guest).unwrap().report.unwrap();
        let (status, body) = self.post(guest, REPORT_ENDPOINT, report).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Ack>(&body).unwrap().host_certificates
    }

    /// The same of evidence that the guest sends by itself.
    async fn renewed(&self, guest: &str) -> Vec<String> {
        let (_, challenge) = self.post(guest, CHALLENGE_ENDPOINT, String::new()).await;
        let nonce = serde_json::from_str::<ChallengeText>(&challenge).unwrap().nonce;
        let evidence = evidence(guest, &nonce, now_ms());
        let body = serde_json::to_string(&evidence).unwrap();
        let (status, body) = self.post(guest, EVIDENCE_ENDPOINT, body).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Ack>(&body).unwrap().host_certificates
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_are_certified_with_their_acknowledgement_and_revoked_when_they_go() {
    let rig = Rig::serving_with("[ssh_ca]\ndomains = [\"lab.example\"]\n").await;
    for words in [&["ca", "show"][..], &["known-hosts", "--authority"], &["ca", "sign", "early"]] {
        rig.run(words).await.ends_with(4).tells(&["no host CA", "ca init"]);
    }
    rig.run(&["up", &rig.spec(&["early"], "")]).await.ends_with(0);
    assert_eq!(rig.acknowledged("early").await, [""; 0], "without a CA nothing of it");

    let made = rig.run(&["ca", "init"]).await.ends_with(0);
    assert!(made.stdout.starts_with("@cert-authority * ssh-ed25519 "), "{made:#?}");
    let key = rig.state().join("ssh_ca");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    rig.run(&["ca", "init"]).await.ends_with(3).tells(&["ssh_ca", "there already"]);
    let line = rig.run(&["known-hosts", "--authority", "--hosts", "*.lab.example"]).await.ends_with(0).stdout;
    assert_eq!(line, made.stdout.replace(" * ", " *.lab.example "));
    let shown = rig.run(&["ca", "show", "--json"]).await.ends_with(0).json();

    rig.run(&["up", &rig.spec(&["web-01", "web-02"], "")]).await.ends_with(0);
    let lines = rig.acknowledged("web-01").await;
    assert_eq!(lines.len(), 1, "one for each key");
    let read_by_openssh = read(rig.folder.path(), &lines[0]);
    let address = rig.hypervisor.machine("web-01").unwrap().addresses[0].to_string();
    for words in ["host certificate", "web-01.lab.example", &address, shown["fingerprint"].as_str().unwrap()]
    {
        assert!(read_by_openssh.contains(words), "{words}: {read_by_openssh}");
    }
    assert!(!read_by_openssh.contains("forever"), "{read_by_openssh}");
    assert_eq!(rig.acknowledged("web-01").await, lines, "the same report gets the same answer");
    assert_eq!(rig.renewed("web-01").await, lines, "it is not due");
    assert_eq!(rig.renewed("early").await.len(), 1, "who was ready before gets its first one");

    let fresh = rig.run(&["ca", "sign", "web-02"]).await.ends_with(0).stdout;
    let listed = rig.run(&["ca", "list", "--json"]).await.ends_with(0).json();
    let listed = listed["certificates"].as_array().unwrap().clone();
    assert_eq!(listed.len(), 4, "{listed:#?}");
    let is_listed =
        |shown: &str| listed.iter().any(|one| one["serial"].as_u64() == serial(shown).parse().ok());
    assert!(is_listed(&read_by_openssh) && is_listed(&read(rig.folder.path(), fresh.trim())));
    let table = rig.run(&["ca", "list", "web-01"]).await.ends_with(0).stdout;
    assert!(table.contains(serial(&read_by_openssh)) && table.contains("valid"), "{table}");

    rig.run(&["destroy", "web-01"]).await.ends_with(0);
    let list = rig.path("krl").display().to_string();
    let said = rig.run(&["krl", "--out", &list]).await.ends_with(0).stderr;
    assert!(said.contains("1 keys and 1 certificates"), "{said}");
    for (line, revoked) in [(&lines[0], true), (&fresh.trim().to_owned(), false)] {
        let file = rig.path("asked-cert.pub");
        std::fs::write(&file, format!("{line}\n")).unwrap();
        let said = run("ssh-keygen", &["-Q", "-f", &list, file.to_str().unwrap()]);
        assert_eq!(String::from_utf8_lossy(&said.stdout).contains("REVOKED"), revoked, "{said:?}");
    }
    assert!(rig.run(&["ca", "list", "web-01"]).await.ends_with(0).stdout.contains("revoked"));
    rig.run(&["ca", "sign", "web-01"]).await.ends_with(5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_near_its_end_comes_anew_and_other_hosts_are_signed_by_hand() {
    let rig = Rig::serving_with("[ssh_ca]\nvalidity = \"60s\"\nrenew_before = \"59s\"\n").await;
    rig.run(&["ca", "init"]).await.ends_with(0);
    // A name of its own: what guests say is kept by their names.
    rig.run(&["up", &rig.spec(&["near"], "")]).await.ends_with(0);
    let first = rig.acknowledged("near").await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let renewed = rig.renewed("near").await;
    assert!(renewed.len() == 1 && renewed != first, "{renewed:?}");
    assert_ne!(serial(&read(rig.folder.path(), &renewed[0])), serial(&read(rig.folder.path(), &first[0])));

    let key = rig.path("host");
    let public = format!("{}.pub", key.display());
    let made = run("ssh-keygen", &["-q", "-N", "", "-t", "rsa", "-f", key.to_str().unwrap()]);
    assert!(made.status.success());
    let sign = ["ca", "sign", "--key", &public, "--principals"];
    let signed = rig.run(&[&sign[..], &["git,git.lab.example", "--validity", "12h"]].concat()).await;
    let shown = read(rig.folder.path(), signed.ends_with(0).stdout.trim());
    assert!(shown.contains("git.lab.example") && shown.contains("ssh-rsa-cert-v01"), "{shown}");
    for principals in ["*", "git,!web", "git,"] {
        rig.run(&[&sign[..], &[principals]].concat()).await.ends_with(3).tells(&["certified"]);
    }
    rig.run(&["ca", "sign", "--key", &public]).await.ends_with(2);
    rig.run(&["ca", "sign", "--key", "/nonexistent", "--principals", "x"]).await.ends_with(3);
    std::fs::write(&key, "ssh-ed25519 AAAA").unwrap();
    rig.run(&["ca", "sign", "--key", key.to_str().unwrap(), "--principals", "x"]).await.ends_with(3);
}

/// A real ssh-agent, for as long as it lives.
struct Agent {
    child: Child,
    socket: String,
}

impl Agent {
    fn start(folder: &Path) -> Self {
        let socket = folder.join("agent.sock").display().to_string();
        let mut agent = Command::new("ssh-agent");
        let child = agent.args(["-D", "-a", &socket]).stdout(std::process::Stdio::null()).spawn().unwrap();
        while !Path::new(&socket).exists() {
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, socket }
    }

    /// Puts a new key in; its fingerprint.
    fn add(&self, folder: &Path, name: &str, kind: &str) -> String {
        let file = folder.join(name).display().to_string();
        assert!(run("ssh-keygen", &["-q", "-N", "", "-t", kind, "-f", &file]).status.success());
        let mut add = Command::new("ssh-add");
        assert!(add.arg(&file).env("SSH_AUTH_SOCK", &self.socket).output().unwrap().status.success());
        let said = run("ssh-keygen", &["-l", "-f", &file]);
        String::from_utf8(said.stdout).unwrap().split_whitespace().nth(1).unwrap().to_owned()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_may_stay_in_an_agent_and_guests_are_ready_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let agent = Agent::start(folder.path());
    let rig = Rig::serving_with(&format!("[ssh_ca]\nagent = {:?}\n", agent.socket)).await;
    let init = ["ca", "init", "--agent", &agent.socket];
    rig.run(&init).await.ends_with(4).tells(&["has no key"]);
    agent.add(folder.path(), "rsa", "rsa");
    let fingerprint = agent.add(folder.path(), "one", "ed25519");
    let other = agent.add(folder.path(), "two", "ecdsa");
    rig.run(&init).await.ends_with(4).tells(&["several keys", "--identity"]);
    let made = rig.run(&[&init[..], &["--identity", &other]].concat()).await.ends_with(0);
    assert!(made.stderr.contains("[ssh_ca] agent = "), "{made:#?}");
    assert!(!rig.state().join("ssh_ca").exists(), "the key stays where it is");
    let shown = rig.run(&["ca", "show"]).await.ends_with(0).stdout;
    assert!(
        shown.contains(&other) && shown.contains(&agent.socket) && !shown.contains(&fingerprint),
        "{shown}"
    );

    rig.run(&["up", &rig.spec(&["web-01"], "")]).await.ends_with(0);
    let lines = rig.acknowledged("web-01").await;
    let read = read(rig.folder.path(), &lines[0]);
    assert!(read.contains(&other), "{read}");

    drop(agent);
    rig.run(&["up", &rig.spec(&["web-02"], "")]).await.ends_with(0);
    assert_eq!(rig.acknowledged("web-02").await, [""; 0]);
    rig.run(&["ca", "sign", "web-02"]).await.ends_with(4).tells(&["does not answer"]);
}
