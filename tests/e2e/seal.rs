//! `firstlight-guest seal`, then `firstlight golden lint`, then three clones that really boot: no failed unit, and nothing
//! that two of them share.

mod share;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use firstlight_tests::golden::Variant;
use firstlight_tests::guest::bare::{Booted, Root};
use firstlight_tests::guest::{Boot, Leader};
use firstlight_tests::{paths, run, wait};
use serde_json::Value;

use crate::support::unpacked;
use crate::whole::{assert_no_ordering_cycle, put, served_key, status};

/// Debian's packages that have an identity, or start where one is missing, each with what may be read of it.
struct Set {
    packages: &'static str,
    /// Units that must be up in every clone.
    active: &'static [&'static str],
    /// Rows of the table that lint goes on telling, and why is in docs/identity-items.md.
    told: &'static [&'static str],
    /// Needs every right to start at all.
    as_host: bool,
}

const SETS: [Set; 9] = [
    Set {
        packages: "cloud-init",
        active: &["cloud-final.service", "ssh.service"],
        // Sample keys in its documentation.
        told: &["shipped-key /usr/share/doc/cloud-init/examples/"],
        as_host: false,
    },
    Set {
        packages: "network-manager",
        active: &["NetworkManager.service", "ssh.service"],
        told: &[],
        as_host: false,
    },
    Set { packages: "dropbear", active: &[], told: &[], as_host: false },
    Set { packages: "snmpd", active: &["snmpd.service", "ssh.service"], told: &[], as_host: false },
    Set {
        packages: "postfix",
        active: &["postfix.service", "ssh.service"],
        told: &["snakeoil"],
        as_host: false,
    },
    Set { packages: "open-iscsi", active: &["ssh.service"], told: &[], as_host: false },
    Set { packages: "nvme-cli", active: &["ssh.service"], told: &[], as_host: false },
    Set { packages: "ssl-cert", active: &["ssh.service"], told: &["snakeoil"], as_host: false },
    Set { packages: "docker.io", active: &["docker.service", "ssh.service"], told: &[], as_host: true },
];

fn guest_agent(root: &Path, more: &[&str]) -> run::Ran {
    let mut command = Command::new(paths::given(paths::GUEST_VARIABLE));
    run::run(command.arg("--root").arg(root).args(more)).unwrap()
}

/// Seals, tells how long it took, and gives what was said.
fn seal(root: &Path) -> Value {
    let start = std::time::Instant::now();
    let ran = guest_agent(root, &["seal", "--json"]);
    println!("sealed in {} ms", start.elapsed().as_millis());
    assert!(ran.ok(), "{}", ran.said());
    let again = guest_agent(root, &["seal", "--json"]);
    let again: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(again["state"], "unchanged", "a second seal: {again:#}");
    serde_json::from_str(&ran.stdout).unwrap()
}

/// Rules of what lint finds.
fn lint(root: &Path) -> Vec<String> {
    let mut command = Command::new(paths::given(paths::COMPANION_VARIABLE));
    let ran = run::run(command.args(["golden", "lint", "--json"]).arg(root)).unwrap();
    let report: Value =
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.said()));
    let findings = report["findings"].as_array().unwrap();
    let shown = |one: &Value| format!("{} {}", one["rule"].as_str().unwrap(), one["path"].as_str().unwrap());
    findings.iter().map(shown).collect()
}

/// Three clones of a sealed root, all up at once.
struct Clones {
    golden: Root,
    guests: Vec<(Root, Booted, Leader)>,
}

impl Clones {
    fn boot(golden: Root, as_host: bool) -> Self {
        let copies: Vec<Root> = (0..3).map(|_| golden.copy().unwrap()).collect();
        let mut booted = Vec::new();
        for (number, root) in (1..).zip(copies) {
            let boot = Boot::named(&format!("web-0{number}")).mac(&format!("02:00:5e:00:00:0{number}"));
            let guest = root.boot_as(&if as_host { boot.as_host() } else { boot }).unwrap();
            booted.push((root, guest));
        }
        let settle = |(root, booted): (Root, Booted)| {
            let (guest, state) = booted.settled().unwrap();
            let failed =
                guest.run(&["/usr/bin/systemctl", "--failed", "--no-legend", "--plain"]).unwrap().stdout;
            assert_eq!((state.as_str(), failed.as_str()), ("running", ""), "{}", booted.console());
            (root, booted, guest)
        };
        Self { golden, guests: booted.into_iter().map(settle).collect() }
    }

    /// What the late phase makes is there, too.
    fn await_reports(&self) {
        for (_, _, guest) in &self.guests {
            let done = || (!status(*guest)["report"].is_null()).then_some(());
            wait::until("a report", Duration::from_secs(180), done).unwrap();
        }
    }

    /// `left`: items that the golden keeps, because services could not start without them, and each clone makes anew.
    fn assert_nothing_is_shared(&self, left: &[&str]) {
        let golden = share::of(&self.golden.path());
        let mut clones: Vec<_> = self.guests.iter().map(|(root, _, _)| share::of(&root.path())).collect();
        let is_left = |name: &&String| left.iter().any(|item| name.starts_with(item));
        assert_eq!(golden.keys().find(|name| !is_left(name)), None, "the sealed golden has none");
        assert!(clones.iter().all(|clone| clone.contains_key("ssh-host-keys /etc/ssh/ssh_host_ed25519_key")));
        clones.push(golden);
        assert_eq!(share::shared(&clones), Vec::<String>::new());
    }
}

#[test]
fn a_sealed_golden_is_clean_to_lint_and_its_clones_share_nothing() {
    let root = unpacked(Variant::Baked);
    std::fs::remove_dir_all(root.path().join("root/.ssh")).unwrap();
    put(&root, "var/lib/systemd/random-seed", "seed");
    put(&root, "etc/hosts", "127.0.0.1\tlocalhost\n127.0.1.1\tgolden-builder\n");
    put(&root, "var/log/dpkg.log", "installed\n");
    put(&root, "tmp/build/left", "x");
    assert!(lint(&root.path()).len() > 5, "there is something to find");
    let sealed = seal(&root.path());
    assert_eq!(sealed["state"], "done", "{sealed:#}");
    assert_eq!(lint(&root.path()), Vec::<String>::new());

    let clones = Clones::boot(root, false);
    let mut served: Vec<String> = clones.guests.iter().map(|(_, _, guest)| served_key(*guest)).collect();
    served.sort();
    served.dedup();
    assert_eq!(served.len(), 3);
    for (_, _, guest) in &clones.guests {
        assert_no_ordering_cycle(*guest);
        let said = status(*guest);
        assert_eq!(said["identity"]["identity"]["machine_id"]["state"], "fresh", "{said:#}");
        assert_eq!(said["identity"]["identity"]["decision"], "renew");
    }
    clones.assert_nothing_is_shared(&[]);

    // A clone that runs is nobody's image, whatever path leads to its root.
    let (running, _, guest) = &clones.guests[0];
    let before = share::of(&running.path());
    for ran in [
        guest_agent(&running.path(), &["seal"]),
        guest.run(&["/usr/bin/firstlight-guest", "seal"]).unwrap(),
        guest.run(&["/usr/bin/firstlight-guest", "install"]).unwrap(),
    ] {
        assert_eq!(ran.code, 6, "{}", ran.said());
        assert!(ran.stderr.contains("--live"), "{}", ran.said());
    }
    assert_eq!(share::of(&running.path()), before);
}

/// A root with what packages and a first start leave: keys, a machine-id, lists, logs.
fn made(suite: &str, packages: &str) -> Root {
    let root = Root::empty().unwrap();
    let wanted = format!("systemd-sysv,openssh-server,dbus,iproute2,udev,ca-certificates,{packages}");
    let mut mmdebstrap = run::command([
        "mmdebstrap",
        "--quiet",
        "--variant=apt",
        "--skip=cleanup/reproducible,cleanup/apt/lists",
    ]);
    // Sid's lists are valid for a week only, and a mirror or a clock may be further off.
    mmdebstrap.arg("--aptopt=Acquire::Check-Valid-Until \"false\"");
    mmdebstrap.arg(format!("--include={}", wanted.trim_end_matches(','))).arg(suite).arg(root.path());
    run::must(&mut mmdebstrap).unwrap();
    put(&root, "etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    root
}

#[test]
fn every_debian_is_clean_when_it_is_sealed() {
    if !paths::full() {
        return; // each takes minutes: `cargo xtask test --full`
    }
    for suite in ["bookworm", "trixie", "sid"] {
        let root = made(suite, "");
        assert!(!lint(&root.path()).is_empty(), "{suite}: there is something to find");
        seal(&root.path());
        assert_eq!(lint(&root.path()), Vec::<String>::new(), "{suite}");
    }
}

#[test]
fn clones_of_goldens_with_services_start_them_and_share_nothing() {
    if !paths::full() {
        return; // each takes minutes: `cargo xtask test --full`
    }
    let only = std::env::var(paths::ONLY_VARIABLE).unwrap_or_default();
    for set in SETS.iter().filter(|set| set.packages.contains(&only)) {
        println!("{}", set.packages);
        let root = made("trixie", set.packages);
        prepare(&root, set);
        seal(&root.path());
        let mut told = lint(&root.path());
        told.retain(|finding| !set.told.iter().any(|item| finding.starts_with(item)));
        assert_eq!(told, Vec::<String>::new(), "{}", set.packages);
        let clones = Clones::boot(root, set.as_host);
        for (_, booted, guest) in &clones.guests {
            for unit in set.active {
                assert_eq!(guest.final_unit_state(unit).unwrap(), "active", "{unit}: {}", booted.console());
            }
        }
        if set.packages == "open-iscsi" {
            // What iscsid's unit runs before it; the daemon itself needs a module of the kernel.
            for (_, _, guest) in &clones.guests {
                let ran = guest.run(&["/usr/lib/open-iscsi/startup-checks.sh"]).unwrap();
                assert!(ran.ok(), "{}", ran.said());
                let name = guest.run(&["/bin/cat", "/etc/iscsi/initiatorname.iscsi"]).unwrap().stdout;
                assert!(name.contains("InitiatorName=iqn."), "{name}");
            }
        }
        if set.packages == "dropbear" {
            for (_, _, guest) in &clones.guests {
                for kind in ["ed25519", "ecdsa"] {
                    let key = format!("/etc/dropbear/dropbear_{kind}_host_key");
                    let ran = guest.run(&["/usr/bin/dropbearkey", "-y", "-f", &key]).unwrap();
                    assert!(ran.ok() && ran.stdout.contains("Fingerprint: "), "{}", ran.said());
                }
            }
        }
        clones.await_reports();
        clones.assert_nothing_is_shared(set.told);
    }
}

/// What a container of these tests lacks, and no package is to blame for.
fn prepare(root: &Root, set: &Set) {
    match set.packages {
        "docker.io" => put(
            root,
            "etc/docker/daemon.json",
            r#"{"storage-driver":"vfs","iptables":false,"ip6tables":false,"bridge":"none"}"#,
        ),
        "cloud-init" => put(
            root,
            "etc/cloud/cloud.cfg.d/99-test.cfg",
            "datasource_list: [ NoCloud, None ]\nnetwork: {config: disabled}\n",
        ),
        // It loads a module of the kernel, which no container may.
        "nvme-cli" => crate::whole::systemctl(root, &["mask", "nvmf-autoconnect.service"]),
        // Beside OpenSSH's server, on a port of its own.
        "dropbear" => put(root, "etc/default/dropbear", "DROPBEAR_PORT=2222\n"),
        _ => {}
    }
}
