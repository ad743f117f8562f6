//! Certificates of ssh-keygen; a real sshd takes them, and a real ssh trusts them by their CA alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;

use super::*;
use crate::keys::{KeyType, make};
use crate::sshd::testbed::{self, Sshd, put};
use crate::sys::Fuse;

const NOW: u64 = 1_800_000_000;

/// A root with ed25519 and ecdsa keys, and a CA of this type beside it.
struct Bed {
    folder: tempfile::TempDir,
    ca: PathBuf,
}

impl Bed {
    fn new(config: &str, ca: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ssh = folder.path().join("etc/ssh");
        fs::create_dir_all(ssh.join("sshd_config.d")).unwrap();
        fs::write(ssh.join("sshd_config"), config).unwrap();
        for kind in [KeyType::Ed25519, KeyType::Ecdsa] {
            let key = make(kind).unwrap();
            put(&testbed::key_path(&ssh, kind), key.private.as_bytes());
            put(&testbed::key_path(&ssh, kind).with_extension("pub"), key.public_line.as_bytes());
        }
        let bed = Self { ca: folder.path().join("ca"), folder };
        keygen(&[&["-t"], ca, &["-N", "", "-f", bed.ca.to_str().unwrap()]].concat());
        bed
    }

    fn ssh(&self) -> PathBuf {
        self.folder.path().join("etc/ssh")
    }

    fn root(&self) -> Root {
        Root::open(self.folder.path(), Fuse::intact()).unwrap()
    }

    /// The line of a certificate of one of its keys; the words are ssh-keygen's.
    fn signed(&self, kind: KeyType, words: &[&str]) -> String {
        let public = self.folder.path().join("signed.pub");
        fs::copy(testbed::key_path(&self.ssh(), kind).with_extension("pub"), &public).unwrap();
        keygen(
            &[&["-s", self.ca.to_str().unwrap(), "-I", "test"], words, &[public.to_str().unwrap()]].concat(),
        );
        fs::read_to_string(self.folder.path().join("signed-cert.pub")).unwrap()
    }

    fn install(&self, lines: &[String], accepts: Result<(), String>) -> Installed {
        block_on(install_if(&self.root(), lines, NOW, "web-01", async || accepts))
    }

    fn certificates(&self) -> Vec<String> {
        let names = self.root().list("etc/ssh").unwrap();
        names.into_iter().filter(|name| name.ends_with("-cert.pub")).collect()
    }

    fn drop_in(&self) -> Option<String> {
        fs::read_to_string(self.folder.path().join(paths::SSHD_DROP_IN)).ok()
    }
}

fn keygen(arguments: &[&str]) -> String {
    let output = Command::new("ssh-keygen").arg("-q").args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

const INCLUDE: &str = "Include /etc/ssh/sshd_config.d/*.conf\n";
const HOST: [&str; 3] = ["-h", "-n", "web-01,web-01.example.org"];

#[test]
fn certificates_of_every_ca_are_installed_once() {
    for ca in [&["ed25519"][..], &["ecdsa"], &["ecdsa", "-b", "384"], &["rsa", "-b", "3072"]] {
        let bed = Bed::new(INCLUDE, ca);
        let lines = [bed.signed(KeyType::Ed25519, &HOST), bed.signed(KeyType::Ecdsa, &HOST)];
        let installed = bed.install(&lines, Ok(()));
        assert_eq!(installed.problems, Vec::<String>::new(), "{ca:?}");
        assert_eq!(installed.keys, ["ssh_host_ed25519_key", "ssh_host_ecdsa_key"]);
        assert!(installed.changed);
        let said = keygen(&["-L", "-f", bed.ssh().join("ssh_host_ed25519_key-cert.pub").to_str().unwrap()]);
        assert!(said.contains("host certificate") && said.contains("web-01"), "{said}");
        let drop_in = bed.drop_in().unwrap();
        assert_eq!(drop_in.matches("HostCertificate").count(), 2, "{drop_in}");
        let config = SshdConfig::load(&bed.root());
        assert_eq!(config.certificates.len(), 2);
        assert_eq!(config.problems, Vec::<String>::new());
        let again = bed.install(&lines, Err("must not be asked".to_owned()));
        assert!(!again.changed && again.problems.is_empty() && again.keys.len() == 2);
    }
}

#[test]
fn what_is_not_this_machines_is_refused_with_the_reason() {
    let bed = Bed::new(INCLUDE, &["ed25519"]);
    let good = bed.signed(KeyType::Ed25519, &HOST);
    let other = Bed::new(INCLUDE, &["ed25519"]).signed(KeyType::Ed25519, &HOST);
    let (name, base64) = good.split_once(' ').unwrap();
    let mut torn = base64.to_owned();
    torn.replace_range(200..201, if &torn[200..201] == "A" { "B" } else { "A" });
    for (line, reason) in [
        (other, "its key is no host key of this machine"),
        (bed.signed(KeyType::Ed25519, &["-n", "web-01"]), "it is no host certificate"),
        (
            bed.signed(KeyType::Ed25519, &["-h", "-n", "web-011,web"]),
            "it is for web-011, web, not for `web-01`",
        ),
        (bed.signed(KeyType::Ed25519, &["-h", "-n", "web-01", "-V", "20200101:20210101"]), "it has expired"),
        (bed.signed(KeyType::Ed25519, &["-h", "-n", "web-01", "-O", "critical:x=y"]), "critical options"),
        (format!("{name} {torn}"), "its CA did not sign it"),
        (format!("ssh-rsa-cert-v01@openssh.com {base64}"), "no certificate of a known type"),
        (format!("{name} {}", &base64[..100]), "it is torn"),
        (String::new(), "it is torn"),
        ("ssh-ed25519 AAAA".to_owned(), "no certificate of a known type"),
    ] {
        let installed = bed.install(&[line], Ok(()));
        assert!(
            installed.problems.len() == 1 && installed.problems[0].contains(reason),
            "{reason}: {installed:?}"
        );
        assert!(!installed.changed && installed.keys.is_empty());
    }
    assert_eq!((bed.certificates(), bed.drop_in()), (Vec::new(), None));
}

#[test]
fn a_name_may_be_short_or_fully_qualified() {
    let bed = Bed::new(INCLUDE, &["ed25519"]);
    let line = bed.signed(KeyType::Ed25519, &["-h", "-n", "web-01.example.org"]);
    let short = bed.signed(KeyType::Ed25519, &["-h", "-n", "web-01"]);
    for (line, hostname, fits) in [
        (&line, "web-01", true),
        (&line, "web-01.example.org", true),
        (&line, "web-0", false),
        (&line, "example.org", false),
        (&line, "", false),
        (&short, "web-01.example.org", true),
        (&short, "web-011", false),
    ] {
        let certificate = HostCertificate::parse(line).unwrap();
        assert_eq!(certificate.check(NOW, hostname).is_ok(), fits, "{hostname}");
    }
}

#[test]
fn oddities_are_installed_and_said() {
    for (words, said) in [
        (&["-h"][..], "it names no host"),
        (&["-h", "-n", "web-01", "-V", "20400101:20500101"], "not valid yet"),
    ] {
        let bed = Bed::new(INCLUDE, &["ed25519"]);
        let installed = bed.install(&[bed.signed(KeyType::Ed25519, words)], Ok(()));
        assert!(installed.changed && installed.problems[0].contains(said), "{installed:?}");
    }
    let bed = Bed::new(INCLUDE, &["ed25519"]);
    let line = bed.signed(KeyType::Ed25519, &HOST);
    let twice = bed.install(&[line.clone(), line], Ok(()));
    assert!(twice.changed && twice.problems[0].contains("has one already"), "{twice:?}");
}

#[test]
fn nothing_is_kept_that_sshd_does_not_read_or_refuses() {
    let bed = Bed::new("# no Include\n", &["ed25519"]);
    let line = bed.signed(KeyType::Ed25519, &HOST);
    let installed = bed.install(std::slice::from_ref(&line), Ok(()));
    assert!(installed.problems[0].contains("does not include"), "{installed:?}");
    assert_eq!((bed.certificates(), bed.drop_in()), (Vec::new(), None));

    fs::write(bed.ssh().join("sshd_config"), INCLUDE).unwrap();
    let refused = bed.install(std::slice::from_ref(&line), Err("sshd refuses it: x".to_owned()));
    assert!(refused.problems[0].contains("sshd refuses it: x") && refused.keys.is_empty(), "{refused:?}");
    assert_eq!((bed.certificates(), bed.drop_in()), (Vec::new(), None));

    // What was there before comes back.
    assert!(bed.install(std::slice::from_ref(&line), Ok(())).changed);
    let before = (bed.certificates(), bed.drop_in());
    let newer = bed.signed(KeyType::Ed25519, &["-h", "-n", "web-01", "-z", "2"]);
    assert!(!bed.install(&[newer], Err("no".to_owned())).changed);
    assert_eq!((bed.certificates(), bed.drop_in()), before);
    assert!(!bed.install(&[line], Err("must not be asked".to_owned())).changed);
}

#[test]
fn a_renewal_removes_certificates_and_drop_in() {
    let bed = Bed::new(INCLUDE, &["ed25519"]);
    let lines = [bed.signed(KeyType::Ed25519, &HOST), bed.signed(KeyType::Ecdsa, &HOST)];
    assert!(bed.install(&lines, Ok(())).changed);
    let root = bed.root();
    let found = scan(&root).unwrap();
    let one = [make(KeyType::Ed25519).unwrap()];
    super::super::install(&root, &found, &one, &[found.of_type(KeyType::Ed25519).unwrap()]).unwrap();
    assert!(bed.drop_in().is_some(), "it still names the certificate of the other key");
    let found = scan(&root).unwrap();
    super::super::install(&root, &found, &[], &[found.of_type(KeyType::Ecdsa).unwrap()]).unwrap();
    assert_eq!((bed.certificates(), bed.drop_in()), (Vec::new(), None));
}

#[test]
fn a_client_that_knows_only_the_ca_trusts_the_real_sshd() {
    let bed = Bed::new(INCLUDE, &["ed25519"]);
    let lines = [
        bed.signed(KeyType::Ed25519, &["-h", "-n", "web-01"]),
        bed.signed(KeyType::Ecdsa, &["-h", "-n", "web-01"]),
    ];
    assert!(bed.install(&lines, Ok(())).changed);
    let ssh = bed.ssh();
    let mut config = String::new();
    for kind in [KeyType::Ed25519, KeyType::Ecdsa] {
        config.push_str(&format!("HostKey {}\n", testbed::key_path(&ssh, kind).display()));
    }
    // The drop-in as it is, but for the root that it lies in.
    let at = bed.folder.path().display();
    config.push_str(&bed.drop_in().unwrap().replace("\"/etc", &format!("\"{at}/etc")));
    let sshd = Sshd::start(tempfile::tempdir().unwrap(), &config);
    let known = sshd.folder.path().join("known_hosts");
    let other = Bed::new(INCLUDE, &["ed25519"]);
    for (ca, name, trusted) in
        [(&bed.ca, "web-01", true), (&other.ca, "web-01", false), (&bed.ca, "web-02", false)]
    {
        fs::write(&known, format!("@cert-authority * {}", read(&ca.with_extension("pub")))).unwrap();
        for algorithm in ["ssh-ed25519", "ecdsa-sha2-nistp256"] {
            let said = Command::new("ssh")
                .args(["-v", "-F", "none", "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes"])
                .args(["-o", "GlobalKnownHostsFile=none", "-o", &format!("HostKeyAlias={name}")])
                .args(["-o", &format!("UserKnownHostsFile={}", known.display())])
                .args(["-o", &format!("HostKeyAlgorithms={algorithm}-cert-v01@openssh.com")])
                .args(["-p", &sshd.address.port().to_string(), "nobody@127.0.0.1", "true"])
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&said.stderr).into_owned();
            assert_eq!(
                said.contains("Authentications that can continue"),
                trusted,
                "{name} {algorithm}: {said}"
            );
            assert_eq!(said.contains("Host key verification failed"), !trusted, "{name} {algorithm}: {said}");
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_line_makes_the_parser_panic_or_believe(bytes: Vec<u8>, name in 0usize..5, text in ".{0,80}") {
        use base64::Engine as _;
        let names = ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ssh-rsa", "x"];
        let name = format!("{}-cert-v01@openssh.com", names[name]);
        let mut blob = Vec::new();
        crate::sshd::put_string(&mut blob, name.as_bytes());
        blob.extend_from_slice(&bytes);
        let base64 = base64::engine::general_purpose::STANDARD.encode(&blob);
        let line = format!("{name} {base64}");
        prop_assert!(HostCertificate::parse(&line).is_err());
        prop_assert!(HostCertificate::parse(&text).is_err());
    }
}
