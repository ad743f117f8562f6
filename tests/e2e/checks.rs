//! Every kind of readiness check on a real guest, passing and failing; and where the boot's time went.

mod docker;
mod guest;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use firstlight_shared::check::Verdict;
use firstlight_shared::wire::{Envelope, Report};
use firstlight_tests::golden::Variant;
use firstlight_tests::guest::Leader;
use firstlight_tests::wait;

use self::docker::Docker;
use crate::support::unpacked;

/// Seconds that nobody else sleeps.
const SLEEP: u32 = 471_147;

/// The report of this boot, as soon as it stands in its file.
fn report(guest: Leader) -> Report {
    let text = wait::until("a report", Duration::from_secs(120), || {
        let ran = guest.run(&["/usr/bin/cat", "/run/firstlight/report.json"]).ok()?;
        ran.ok().then_some(ran.stdout)
    });
    let envelope = Envelope::parse(text.unwrap().as_bytes()).unwrap();
    serde_json::from_str(&envelope.report).unwrap()
}

/// Checks as they stand in a file, and what is expected of each.
#[derive(Default)]
struct Expected {
    text: String,
    verdicts: BTreeMap<String, (Verdict, &'static str)>,
}

impl Expected {
    /// A check of this kind, what it must come to, and a part of its reason.
    fn add(&mut self, id: &str, kind: &str, keys: &str, deadline: &str, end: (Verdict, &'static str)) {
        let head = format!("[[check]]\nid = \"{id}\"\nkind = \"{kind}\"\ndeadline = \"{deadline}\"");
        self.text.push_str(&format!("{head}\n{keys}\n"));
        assert!(self.verdicts.insert(id.to_owned(), end).is_none(), "{id} stands there twice");
    }

    /// May take its time on a busy machine.
    fn pass(&mut self, id: &str, kind: &str, keys: &str, reason: &'static str) {
        self.add(id, kind, keys, "100s", (Verdict::Pass, reason));
    }

    /// Fails for the wanted reason only once the guest's own services are up.
    fn fail(&mut self, id: &str, kind: &str, keys: &str, reason: &'static str) {
        self.add(id, kind, keys, "15s", (Verdict::Fail, reason));
    }

    /// As it was from the beginning.
    fn fail_at_once(&mut self, id: &str, kind: &str, keys: &str, reason: &'static str) {
        self.add(id, kind, keys, "1s", (Verdict::Fail, reason));
    }

    fn units(&mut self) {
        self.pass(
            "units",
            "failed-units",
            "ignore = [\"broken.*\"]",
            "no unit failed but the ignored broken.service",
        );
        self.fail("units-all", "failed-units", "", "broken.service");
        self.pass("unit", "unit", "unit = \"leaf.service\"", "is active");
        self.pass("unit-state", "unit", "unit = \"broken.service\"\nstate = \"failed\"", "is failed");
        self.fail("unit-absent", "unit", "unit = \"absent.service\"", "not loaded");
        self.pass("workers", "replicas", "units = \"worker@*.service\"\ncount = 2", "2 of 2 units");
        self.fail("workers-three", "replicas", "units = \"worker@*.service\"\ncount = 3", "of 3 units");
    }

    fn files(&mut self) {
        let data = "path = \"/data\"\nfstype = [\"ext4\", \"tmpfs\"]\nmin_size = \"64M\"\nwritable = true";
        self.pass("data", "mount", data, "took a write");
        self.fail("data-fstype", "mount", "path = \"/data\"\nfstype = \"ext4\"", "is tmpfs, not ext4");
        self.fail("data-size", "mount", "path = \"/data\"\nmin_size = \"65M\"", "67108864 bytes large");
        self.fail(
            "data-readonly",
            "mount",
            "path = \"/readonly\"\nwritable = true",
            "cannot write into /readonly",
        );
        self.fail("data-absent", "mount", "path = \"/opt\"", "nothing is mounted at /opt");
        let digest = "sha256 = \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"";
        self.pass(
            "file",
            "file",
            &format!("path = \"/etc/abc\"\nowner = \"root:root\"\nmode = \"0644\"\n{digest}"),
            "",
        );
        self.pass(
            "file-shadow",
            "file",
            "path = \"/etc/shadow\"\nowner = \"root:shadow\"\nmode = \"0640\"",
            "",
        );
        self.fail("file-mode", "file", "path = \"/etc/abc\"\nmode = \"0600\"", "mode 0644");
        self.fail("file-owner", "file", "path = \"/etc/shadow\"\nowner = \"root:root\"", "belongs to 0:42");
        self.fail("file-digest", "file", &format!("path = \"/etc/hosts\"\n{digest}"), "has the SHA-256");
        let link = |name: &str| format!("path = \"/opt/{name}\"\ntarget_prefix = \"/nix/store/\"");
        self.pass("closure", "symlink", &link("current-system"), "abc-system");
        let exactly = "path = \"/opt/current-system\"\ntarget = \"/nix/store/abc-system\"";
        self.pass("closure-exact", "symlink", exactly, "");
        self.fail("closure-dangling", "symlink", &link("dangling-system"), "nothing is there");
        let other = "path = \"/opt/current-system\"\ntarget = \"/nix/store/other\"";
        self.fail("closure-other", "symlink", other, "abc-system");
    }

    fn network(&mut self, root: &Path) {
        // The built-in one, tuned: this guest's network has no way out.
        self.pass("network", "network", "default_route = false", "10.77.9.2/24");
        self.fail("network-route", "network", "", "no default route");
        self.fail("network-interface", "network", "interface = \"eth7\"\ndefault_route = false", "`eth7`");
        self.pass("dns", "dns", "name = \"db.example\"\naddress = \"10.77.9.7\"", "by 127.0.0.54");
        self.pass("dns-search", "dns", "name = \"db\"", "10.77.9.7");
        self.pass("dns-hosts", "dns", "name = \"listed\"\naddress = \"10.77.9.9\"", "by /etc/hosts");
        self.fail("dns-absent", "dns", "name = \"absent.example\"", "127.0.0.54 knows no absent.example");
        self.fail("dns-other", "dns", "name = \"listed\"\naddress = \"10.77.9.8\"", "10.77.9.9");
        self.pass("tcp", "tcp", "address = \"127.0.0.1:22\"", "accepts");
        self.fail("tcp-nobody", "tcp", "address = \"127.0.0.1:9\"", "refused");
        let health = "url = \"http://127.0.0.1:8080/health\"\nhost = \"www.example\"";
        self.pass("http", "http", &format!("{health}\ncontains = \"is well\""), "wanted text");
        self.pass("http-status", "http", "url = \"http://127.0.0.1:8080/\"\nstatus = 404", "404");
        self.fail("http-nobody", "http", "url = \"http://127.0.0.1:9/\"", "refused");
        let (pin, print) = (guest::pin(root), guest::fingerprint(root));
        self.pass("https", "http", &format!("url = \"https://127.0.0.1:4433/\"\npin = \"{pin}\""), "200");
        let other = "pin = \"sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"";
        self.fail(
            "https-other",
            "http",
            &format!("url = \"https://127.0.0.1:4433/\"\n{other}"),
            "has not the pinned key",
        );
        let leaf = |keys: &str| format!("address = \"127.0.0.1:4433\"\nserver_name = \"leaf\"\n{keys}");
        self.pass("leaf", "tls-leaf", &leaf(&format!("sha256 = \"{print}\"")), "");
        self.pass("leaf-pin", "tls-leaf", &leaf(&format!("pin = \"{pin}\"")), "");
        self.pass("leaf-file", "tls-leaf", &leaf("certificate = \"/etc/leaf.pem\""), "");
        self.fail("leaf-other", "tls-leaf", &leaf(other), "has the key sha256//");
        self.fail("leaf-no-file", "tls-leaf", &leaf("certificate = \"/etc/abc\""), "no certificate");
    }

    fn accounts_and_commands(&mut self) {
        self.fail_at_once(
            "password",
            "password",
            "known = [\"else\", \"debian\"]\nusers = [\"demo\"]",
            "demo has a known",
        );
        self.pass("password-other", "password", "known = [\"else\"]\nusers = [\"demo\"]", "");
        self.pass("password-expired", "password", "expired = true\nusers = [\"demo\"]", "");
        self.fail_at_once(
            "password-lasting",
            "password",
            "expired = true\nusers = [\"legacy\"]",
            "not expired",
        );
        let legacy = "known = [\"debian\"]\nusers = [\"legacy\"]";
        self.add("password-md5", "password", legacy, "1s", (Verdict::Unknown, "cannot be verified: legacy"));
        let shell = |script: &str| format!("command = [\"/bin/sh\", \"-c\", \"{script}\"]");
        self.pass(
            "command",
            "command",
            &shell("echo as wanted; exit 3").replace(']', "]\nexit_code = 3"),
            "as wanted",
        );
        self.fail_at_once(
            "command-code",
            "command",
            &shell("echo not so >&2; exit 1"),
            "exit code 1: not so",
        );
        self.fail_at_once(
            "command-time",
            "command",
            &format!("{}\ntimeout = \"300ms\"", shell(&format!("sleep {SLEEP}; true"))),
            "did not end",
        );
        self.add(
            "command-absent",
            "command",
            "command = [\"/no/such\"]",
            "1s",
            (Verdict::Unknown, "cannot run /no/such"),
        );
        // As the documentation says of the sandbox.
        self.fail_at_once(
            "command-mount",
            "command",
            "command = [\"/bin/mount\", \"-t\", \"tmpfs\", \"x\", \"/mnt\"]",
            "exit code",
        );
        self.fail_at_once(
            "command-unshare",
            "command",
            "command = [\"/usr/bin/unshare\", \"--net\", \"/bin/true\"]",
            "exit code",
        );
        self.add("clock", "clock", "", "1s", (Verdict::Skip, "host"));
    }

    fn docker(&mut self) {
        let socket = "socket = \"/srv/docker.sock\"";
        let docker = |keys: &str| format!("{socket}\n{keys}");
        self.pass(
            "docker",
            "docker",
            &docker("storage_driver = [\"overlay2\", \"overlayfs\"]\nrun = \"hello-world\""),
            "hello-world ran",
        );
        self.fail_at_once("docker-driver", "docker", &docker("storage_driver = \"zfs\""), "not zfs");
        self.fail_at_once("docker-image", "docker", &docker("run = \"no-such-image\""), "404");
        self.fail_at_once("docker-code", "docker", &docker("run = \"ends-with-3\""), "exit code 3");
        self.fail_at_once(
            "docker-time",
            "docker",
            &docker("run = \"stays\"\ntimeout = \"500ms\""),
            "did not end",
        );
        self.fail_at_once("docker-absent", "docker", "", "no docker daemon answers");
        self.pass("containers", "replicas", &docker("container = \"shop-*\""), "2 of 2 containers");
        self.pass("containers-label", "replicas", &docker("label = \"app=shop\"\nimage = \"stays\""), "");
        self.fail_at_once(
            "containers-three",
            "replicas",
            &docker("container = \"shop-*\"\ncount = 3"),
            "2 of 3",
        );
        self.pass("service", "replicas", &docker("service = \"web\""), "2 of 2 tasks");
        self.fail_at_once("service-three", "replicas", &docker("service = \"web\"\ncount = 3"), "2 of 3");
        self.fail_at_once("service-absent", "replicas", &docker("service = \"absent\""), "no service");
        self.pass("restart", "restart-policy", &docker("ignore = [\"shop-2\"]"), "");
        self.fail_at_once("restart-all", "restart-policy", socket, "shop-2 (on-failure)");
    }
}

/// Containers and a service that stay, two of each.
fn populate(docker: &Docker) {
    docker.import("hello-world", "[\"/program\", \"0\"]");
    docker.import("ends-with-3", "[\"/program\", \"3\"]");
    docker.import("stays", "[\"/program\"]");
    for (name, policy) in [("shop-1", "always"), ("shop-2", "on-failure")] {
        let words = [
            "run",
            "--detach",
            "--network=none",
            "--label=app=shop",
            "--restart",
            policy,
            "--name",
            name,
            "stays",
        ];
        docker.run(&words);
    }
    docker.run(&["swarm", "init", "--advertise-addr=10.77.8.1"]);
    let service = ["service", "create", "--detach", "--no-resolve-image", "--replicas=2", "--network=host"];
    docker.run(&[&service[..], &["--name=web", "stays"]].concat());
    wait::until("the swarm's tasks", Duration::from_secs(60), || {
        docker.run(&["service", "ls", "--format={{.Replicas}}"]).starts_with("2/2").then_some(())
    })
    .unwrap();
}

#[test]
fn checks_of_every_kind_pass_and_fail_as_they_should() {
    let root = unpacked(Variant::Agent);
    guest::furnish(&root.path());
    let docker = Docker::start(&root.path().join("srv/docker.sock"));
    populate(&docker);
    let mut expected = Expected::default();
    expected.units();
    expected.files();
    expected.network(&root.path());
    expected.accounts_and_commands();
    expected.docker();
    let folder = root.path().join("etc/firstlight/checks.d");
    fs::create_dir_all(&folder).unwrap();
    let (one, other) = split(&expected.text);
    fs::write(folder.join("10-one.toml"), one).unwrap();
    fs::write(folder.join("20-other.toml"), other).unwrap();
    fs::write(
        folder.join("30-wrong.toml"),
        "[[check]]\nid = \"wrong\"\nkind = \"tcp\"\naddress = \"localhost:1\"\n",
    )
    .unwrap();
    fs::write(root.path().join("etc/firstlight/guest.toml"), "[checks]\nskip = [\"machine-id\"]\n").unwrap();
    expected
        .verdicts
        .insert("wrong".into(), (Verdict::Unknown, "/etc/firstlight/checks.d/30-wrong.toml line 4"));
    expected.verdicts.insert("machine-id".into(), (Verdict::Skip, "guest.toml"));
    expected.verdicts.insert("system-running".into(), (Verdict::Fail, "failed units: broken.service"));
    expected.verdicts.insert("sshd".into(), (Verdict::Pass, "SSH-2.0"));
    expected.verdicts.insert("hostname".into(), (Verdict::Pass, "checked"));

    let booted = root.boot("checked").unwrap();
    let leader = booted.leader().unwrap();
    guest::serve(leader);
    let report = report(leader);
    let found: BTreeMap<&str, (Verdict, &str)> = report
        .checks
        .iter()
        .map(|check| (check.id.as_str(), (check.verdict, check.reason.as_str())))
        .collect();
    let mut wrong = Vec::new();
    for (id, (verdict, reason)) in &expected.verdicts {
        match found.get(id.as_str()) {
            Some((seen, why)) if seen == verdict && why.contains(reason) => {}
            other => wrong.push(format!("{id}: expected {verdict:?} ({reason}), found {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), booted.console());
    assert_eq!(found.len(), expected.verdicts.len(), "{found:#?}");
    let problems = &report.identity.problems;
    assert!(problems.iter().any(|problem| problem.contains("30-wrong.toml line 4")), "{problems:?}");

    assert_that_nothing_is_left(&root.path(), leader, &docker);
    assert_that_a_synchronized_clock_is_what_timedatectl_says(leader);
}

/// In two files, at the border of a check.
fn split(text: &str) -> (&str, &str) {
    let middle = text[text.len() / 2..].find("[[check]]").unwrap() + text.len() / 2;
    text.split_at(middle)
}

/// No probe file, no process of a killed command, no container of a run.
fn assert_that_nothing_is_left(root: &Path, guest: Leader, docker: &Docker) {
    let files = guest.run(&["/usr/bin/find", "/data", "/readonly", "-mindepth", "1"]).unwrap();
    assert_eq!((files.code, files.stdout.as_str()), (0, ""), "{}", files.said());
    assert!(!processes().contains(&format!("sleep\0{SLEEP}\0")), "a killed command lives");
    let made = docker.run(&["ps", "--all", "--quiet", "--filter", "label=org.firstlight.check"]);
    assert_eq!(made, "", "{}", docker.run(&["ps", "--all"]));
    assert!(!root.join("data/.firstlight").exists());
}

/// The command lines of this machine, its guests' among them.
fn processes() -> Vec<String> {
    let lines = fs::read_dir("/proc").unwrap().flatten().map(|entry| fs::read(entry.path().join("cmdline")));
    lines.flatten().map(|line| String::from_utf8_lossy(&line).into_owned()).collect()
}

/// The kernel's flag cannot be changed here, so the judge is timedatectl; the other answer is in the unit tests.
fn assert_that_a_synchronized_clock_is_what_timedatectl_says(guest: Leader) {
    let said = guest.run(&["/usr/bin/timedatectl", "show", "--property=NTPSynchronized", "--value"]).unwrap();
    assert!(said.ok(), "{}", said.said());
    let text = "[[check]]\nid = \"clock-host\"\nkind = \"clock\"\nin_containers = true\ndeadline = \"1s\"\n";
    let script = format!(
        "rm /etc/firstlight/checks.d/* && printf '{}' > /etc/firstlight/checks.d/clock.toml && \
         printf '[checks]\\ndeadline = \"1s\"' > /etc/firstlight/guest.toml && /usr/bin/firstlight-guest report --again",
        text.replace('\n', "\\n")
    );
    let again = guest.run(&["/bin/sh", "-c", &script]).unwrap();
    assert!(again.ok(), "{}", again.said());
    let verdict = if said.stdout.trim() == "yes" { Verdict::Pass } else { Verdict::Fail };
    let report = report(guest);
    let clock = report.checks.iter().find(|check| check.id == "clock-host").unwrap();
    assert_eq!(clock.verdict, verdict, "{clock:?}; timedatectl: {}", said.stdout);
}

/// Milliseconds of a time span as systemd prints it: `1min 2.345s`, `345ms`.
fn span_ms(text: &str) -> u64 {
    let part = |word: &str| -> f64 {
        let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let factor = match &word[digits.len()..] {
            "us" => 0.001,
            "ms" => 1.0,
            "s" => 1000.0,
            "min" => 60_000.0,
            other => panic!("unit `{other}` of {text}"),
        };
        digits.parse::<f64>().unwrap() * factor
    };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "milliseconds of a boot")]
    let ms = text.split_whitespace().map(part).sum::<f64>().round() as u64;
    ms
}

#[test]
fn the_reports_boot_timing_is_that_of_systemd_analyze() {
    let root = unpacked(Variant::Agent);
    let folder = root.path().join("etc/firstlight");
    fs::create_dir_all(&folder).unwrap();
    // This guest's network has no way out, which is no matter here.
    fs::write(folder.join("guest.toml"), "[checks]\nskip = [\"network\"]\n").unwrap();
    let booted = root.boot("timed").unwrap();
    let guest = booted.leader().unwrap();
    let report = report(guest);
    let verdicts: Vec<(&str, Verdict)> = report.checks.iter().map(|c| (c.id.as_str(), c.verdict)).collect();
    let pass = |id| (id, Verdict::Pass);
    let expected = [
        pass("system-running"),
        pass("sshd"),
        ("network", Verdict::Skip),
        pass("hostname"),
        pass("machine-id"),
    ];
    assert_eq!(verdicts, expected, "{:#?}", report.checks);

    let log =
        || guest.run(&["/usr/bin/journalctl", "--unit=firstlight-report", "--no-pager"]).unwrap().said();
    let boot = report.boot.as_ref().unwrap_or_else(|| panic!("no boot timing:\n{}", log()));
    let said = guest.run(&["/usr/bin/systemd-analyze", "time"]).unwrap();
    let time =
        said.stdout.split_once("Startup finished in ").unwrap().1.split_once(" (userspace)").unwrap().0;
    assert!(boot.userspace_ms.unwrap().abs_diff(span_ms(time)) <= 1, "{boot:?}\n{}", said.said());
    assert_eq!((boot.kernel_ms, boot.initrd_ms, boot.firmware_ms, boot.loader_ms), (None, None, None, None));
    let reached = said.stdout.split_once("reached after ").unwrap().1.split_once(" in userspace").unwrap().0;
    let names: Vec<&str> = boot.units.iter().map(|unit| unit.unit.as_str()).collect();
    let target = boot.units.iter().find(|unit| unit.unit == "multi-user.target").unwrap();
    assert!(
        (target.started_ms + target.took_ms.unwrap()).abs_diff(span_ms(reached)) <= 1,
        "{boot:?}\n{}",
        said.said()
    );
    let at = |name: &str| {
        names.iter().position(|unit| *unit == name).unwrap_or_else(|| panic!("{name} in {names:?}"))
    };
    assert!(at("firstlight-identity.service") < at("ssh.service"), "{names:?}");
    let blame = guest.run(&["/usr/bin/systemd-analyze", "blame", "--no-pager"]).unwrap().stdout;
    let blamed = blame.lines().find(|line| line.ends_with(" firstlight-identity.service")).unwrap();
    let blamed = span_ms(blamed.trim_end_matches("firstlight-identity.service"));
    let took = boot.units[at("firstlight-identity.service")].took_ms.unwrap();
    assert!(took.abs_diff(blamed) <= 1, "{took} ms, but systemd-analyze blames {blamed} ms");

    let facts = &report.facts;
    let version = guest.run(&["/usr/bin/systemctl", "--version"]).unwrap().stdout;
    assert!(version.contains(facts.systemd.as_deref().unwrap()), "{facts:?} {version}");
    let disk = guest.run(&["/usr/bin/stat", "--file-system", "--format=%b %S", "/"]).unwrap().stdout;
    let (blocks, size) = disk.trim().split_once(' ').unwrap();
    let total = blocks.parse::<u64>().unwrap() * size.parse::<u64>().unwrap();
    assert_eq!(facts.disk_bytes, Some(total));
    assert!(facts.disk_free_bytes.unwrap() < total && facts.root_fstype.is_some(), "{facts:?}");
}
