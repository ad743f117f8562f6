//! Where a container's claim may come from and where not, the local ways to the host, and what is said when all fails.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use firstlight_shared::wire::{Ack, Claim, Envelope, Opened, ReportState};
use firstlight_tests::golden::Variant;
use firstlight_tests::guest::Boot;
use firstlight_tests::guest::bare::{Booted, Root};
use firstlight_tests::{run, wait};

use crate::support::unpacked;

const LIMIT: Duration = Duration::from_secs(60);

fn claim(id: &str, more: &str) -> Claim {
    Claim::parse(format!(r#"{{"version":1,"id":"{id}"{more}}}"#).as_bytes()).unwrap()
}

/// A root whose guest is ready at once: no RSA, and no network to wait for.
fn root() -> Root {
    let root = unpacked(Variant::Agent);
    write(
        &root,
        "etc/firstlight/guest.toml",
        "[ssh_host_keys]\ntypes = [\"ed25519\"]\n[checks]\nskip = [\"network\"]\n",
    );
    root
}

fn write(root: &Root, path: &str, text: &str) {
    let path = root.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A file in /run of the guest, once it is there and `fits`.
fn read(guest: &Booted, path: &str, fits: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
    let leader = guest.leader().unwrap();
    let mut last = String::new();
    wait::until(path, LIMIT, || {
        last = leader.run(&["/usr/bin/cat", path]).ok().filter(run::Ran::ok)?.stdout;
        serde_json::from_str(&last).ok().filter(&fits)
    })
    .unwrap_or_else(|error| panic!("{error}: {last}\n{}", guest.console()))
}

/// The claim that the guest's report names, and its source.
fn claimed(guest: &Booted) -> (Option<String>, String) {
    let delivery = read(guest, "/run/firstlight/delivery.json", |delivery| delivery["state"] != "sending");
    let envelope = read(guest, "/run/firstlight/report.json", |_| true);
    let opened = serde_json::from_value::<Envelope>(envelope).unwrap().open().unwrap();
    let problems = &opened.report.identity.problems;
    assert!(!problems.iter().any(|problem| problem.contains("claim")), "{problems:?}");
    (opened.report.claim_id, delivery["claim_source"].as_str().unwrap_or("none").to_owned())
}

#[test]
fn a_claim_comes_from_the_hypervisor_and_never_from_the_root_disk() {
    let root = root();
    // Everything on the disk that systemd would hand to a service, and that the units would take if they asked for it.
    let planted = claim("planted", r#","secret":"00ff","intent":"restore""#);
    let line = planted.to_one_line();
    for path in
        ["etc/credstore/firstlight.claim", "usr/lib/credstore/firstlight.claim", "etc/firstlight/claim.json"]
    {
        write(&root, path, line.as_str());
    }
    write(
        &root,
        "etc/systemd/system.conf.d/planted.conf",
        &format!(
            "[Manager]\nManagerEnvironment=FIRSTLIGHT_CLAIM={0}\nDefaultEnvironment=FIRSTLIGHT_CLAIM={0}\n",
            line.as_str()
        ),
    );
    for unit in ["identity", "report"] {
        write(
            &root,
            &format!("etc/systemd/system/firstlight-{unit}.service.d/planted.conf"),
            "[Service]\nPassEnvironment=FIRSTLIGHT_CLAIM\nLoadCredential=firstlight.claim\nImportCredential=firstlight.*\n",
        );
    }
    // And a host that is not there: giving up is said where somebody may see it.
    let settings = "[host]\nchannels = [\"unix:/nonexistent\"]\n[report]\ngive_up_after = \"1s\"\n";
    let usual = fs::read_to_string(root.path().join("etc/firstlight/guest.toml")).unwrap();
    write(&root, "etc/firstlight/guest.toml", &format!("{usual}{settings}"));
    let guest = root.boot("web-01").unwrap();
    assert_eq!(claimed(&guest), (None, "none".to_owned()));
    let gave_up = "firstlight: the report was not delivered: unix:/nonexistent: ";
    wait::until(gave_up, LIMIT, || guest.whole_console().contains(gave_up).then_some(())).unwrap();
    // The control: it did reach the service, by both ways.
    let shown = guest.leader().unwrap().run(&[
        "/usr/bin/systemd-run",
        "--quiet",
        "--wait",
        "--pipe",
        "-p",
        "LoadCredential=firstlight.claim",
        "-p",
        "PassEnvironment=FIRSTLIGHT_CLAIM",
        "/bin/sh",
        "-c",
        "cat $CREDENTIALS_DIRECTORY/firstlight.claim; echo $FIRSTLIGHT_CLAIM",
    ]);
    assert_eq!(shown.unwrap().stdout.matches(line.as_str()).count(), 2);
    guest.shut_down().unwrap();

    let by_environment = claim("by-environment", "");
    let boot = Boot::named("web-01").variable("FIRSTLIGHT_CLAIM", by_environment.to_one_line().as_str());
    let guest = root.boot_as(&boot).unwrap();
    assert_eq!(claimed(&guest), (Some("by-environment".to_owned()), "environment".to_owned()));
    guest.shut_down().unwrap();

    let by_credential = claim("by-credential", r#","secret":"00ff""#);
    let boot = boot.credential("firstlight.claim", by_credential.to_one_line().as_bytes());
    let guest = root.boot_as(&boot).unwrap();
    assert_eq!(claimed(&guest), (Some("by-credential".to_owned()), "credential".to_owned()));
}

/// One request of HTTP and its answer.
fn answer(mut stream: UnixStream, reply: impl Fn(&str, &[u8]) -> (u16, String)) -> Option<(String, Vec<u8>)> {
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    let (head, body) = loop {
        let count = stream.read(&mut part).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&part[..count]);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if bytes.len() >= end + 4 + length.unwrap_or(0) {
            break (head, bytes[end + 4..].to_vec());
        }
    };
    let first = head.lines().next()?.to_owned();
    let (status, text) = reply(&first, &body);
    let head = format!("HTTP/1.0 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", text.len());
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(text.as_bytes())).ok()?;
    Some((first, body))
}

/// A server that tells what it was asked, until the test ends.
fn serve(
    path: &Path,
    reply: impl Fn(&str, &[u8]) -> (u16, String) + Send + 'static,
) -> mpsc::Receiver<(String, Vec<u8>)> {
    let listener = UnixListener::bind(path).unwrap();
    let (sender, asked) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if answer(stream, &reply).is_some_and(|request| sender.send(request).is_err()) {
                return;
            }
        }
    });
    asked
}

/// A host that acknowledges every report.
fn host(path: &Path) -> mpsc::Receiver<(String, Vec<u8>)> {
    serve(path, |_, body| {
        let opened = Envelope::parse(body).unwrap().open().unwrap();
        let (report_sha256, host_certificates) = (opened.sha256, vec![]);
        let ack = Ack { version: 1, report_sha256, accepted_at_ms: 1, host_certificates };
        (200, serde_json::to_string(&ack).unwrap())
    })
}

fn received(host: &mpsc::Receiver<(String, Vec<u8>)>, guest: &Booted) -> (Envelope, Opened) {
    let (_, body) =
        host.recv_timeout(LIMIT).unwrap_or_else(|error| panic!("no report: {error}\n{}", guest.console()));
    let envelope = Envelope::parse(&body).unwrap();
    let opened = envelope.open().unwrap();
    (envelope, opened)
}

#[test]
fn dev_incus_hands_the_claim_in_and_hears_that_the_guest_is_ready() {
    let folder = tempfile::tempdir().unwrap();
    let (incus_socket, host_socket) = (folder.path().join("incus"), folder.path().join("host"));
    let claim = claim("by-incus", r#","secret":"00ff","url":"unix:/opt/host.sock""#);
    let value = claim.to_one_line().to_string();
    let incus = serve(&incus_socket, move |first, _| match first.split(' ').nth(1) {
        Some("/1.0/config/user.firstlight.claim") => (200, value.clone()),
        Some("/1.0") => (200, String::new()),
        _ => (404, "not found".to_owned()),
    });
    let host = host(&host_socket);
    let boot = Boot::named("web-01");
    let boot = boot.bind(&incus_socket, "/dev/incus/sock").bind(&host_socket, "/opt/host.sock");
    let root = root();
    let guest = root.boot_as(&boot).unwrap();
    let (envelope, opened) = received(&host, &guest);
    assert_eq!(opened.report.claim_id.as_deref(), Some("by-incus"));
    assert_eq!(opened.report.state, ReportState::Ready, "{:#?}", opened.report.checks);
    assert!(envelope.binding_holds(claim.secret.as_ref().unwrap()));
    let delivery =
        read(&guest, "/run/firstlight/delivery.json", |delivery| delivery["state"] == "acknowledged");
    assert_eq!(delivery["claim_source"], "dev-incus");
    let channels = delivery["channels"].as_array().unwrap();
    let shown: Vec<_> = channels
        .iter()
        .map(|log| (log["channel"].as_str().unwrap(), log["state"].as_str().unwrap()))
        .collect();
    assert_eq!(shown, [("unix:/opt/host.sock", "acknowledged"), ("incus:", "told")]);
    let asked: Vec<(String, Vec<u8>)> = incus.try_iter().collect();
    let firsts: Vec<&str> = asked.iter().map(|(first, _)| first.as_str()).collect();
    let get = "GET /1.0/config/user.firstlight.claim HTTP/1.0";
    assert_eq!(firsts, [get, get, "PATCH /1.0 HTTP/1.0"], "each phase asks once");
    assert_eq!(asked[2].1, br#"{"state":"Ready"}"#);
    let status = guest.leader().unwrap().run(&["/usr/bin/firstlight-guest", "status"]).unwrap().stdout;
    assert!(status.contains("told         incus:") && status.contains("claim: from devIncus"), "{status}");
}

#[test]
fn a_failed_identity_is_said_on_the_console_and_reported_though_not_even_run_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let host_socket = folder.path().join("host");
    let host = host(&host_socket);
    let root = root();
    write(
        &root,
        "etc/systemd/system/firstlight-identity.service.d/fail.conf",
        "[Service]\nExecStartPre=+/usr/bin/mount -t tmpfs -o ro tmpfs /etc/ssh\nExecStartPre=+/usr/bin/touch /run/firstlight\n",
    );
    write(&root, "etc/firstlight/guest.toml", "[host]\nchannels = [\"unix:/opt/host.sock\"]\n");
    let guest = root.boot_as(&Boot::named("web-01").bind(&host_socket, "/opt/host.sock")).unwrap();
    let (_, opened) = received(&host, &guest);
    assert_eq!(opened.report.state, ReportState::Failed);
    assert!(opened.ephemeral_key, "no key of this machine vouches for a failed identity");
    let (leader, _) = guest.settled().unwrap();
    for line in [
        "firstlight: identity FAILED, ssh stays down: ",
        "firstlight: identity FAILED: it left no outcome in this boot",
        "firstlight: cannot make the folder run/firstlight",
    ] {
        wait::until(line, LIMIT, || guest.whole_console().contains(line).then_some(()))
            .unwrap_or_else(|error| panic!("{error}\n{}", guest.whole_console()));
    }
    assert_ne!(leader.unit_state("ssh.service").unwrap(), "active");
    // The report could not be kept, and that is what the unit's end says.
    let status =
        leader.run(&["/usr/bin/systemctl", "show", "-P", "ExecMainStatus", "firstlight-report.service"]);
    assert_eq!(status.unwrap().stdout.trim(), "1");
}
