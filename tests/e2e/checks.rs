//! Every kind of readiness check on a real guest, passing and failing; and where the boot's time went.

mod docker;
mod expected;
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
use self::expected::Expected;
use crate::support::unpacked;

/// The report of this boot, as soon as it stands in its file.
fn report(guest: Leader) -> Report {
    let text = wait::until("a report", Duration::from_secs(120), || {
        let ran = guest.run(&["/usr/bin/cat", "/run/firstlight/report.json"]).ok()?;
        ran.ok().then_some(ran.stdout)
    });
    let envelope = Envelope::parse(text.unwrap().as_bytes()).unwrap();
    serde_json::from_str(&envelope.report).unwrap()
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
    let mut expected = Expected::of(&root.path());
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
    expected.verdicts.insert("hostname".into(), (Verdict::Fail, "`checked` is the golden's"));

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
    assert!(!processes().contains(&format!("sleep\0{}\0", expected::SLEEP)), "a killed command lives");
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
    // Not the line that ends this answer: that is the default target's.
    let stamp = |object: &[&str], name: &str| -> u64 {
        let shown =
            guest.run(&[&["/usr/bin/systemctl", "show", "-p", name][..], object].concat()).unwrap().stdout;
        shown.trim().strip_prefix(&format!("{name}=")).unwrap().parse().unwrap()
    };
    let reached = stamp(&["multi-user.target"], "ActiveEnterTimestampMonotonic")
        - stamp(&[], "UserspaceTimestampMonotonic");
    let names: Vec<&str> = boot.units.iter().map(|unit| unit.unit.as_str()).collect();
    let target = boot.units.iter().find(|unit| unit.unit == "multi-user.target").unwrap();
    assert!(
        (target.started_ms + target.took_ms.unwrap()).abs_diff(reached / 1000) <= 1,
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
