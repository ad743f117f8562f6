//! The beacon in real guests, read from outside as a hypervisor reads it: by the list of addresses on `lo`.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use firstlight_shared::beacon::{self, Beacon, Form, Reason, Seen, State};
use firstlight_shared::wire::{Envelope, Report, ReportState};
use firstlight_tests::golden::{self, Variant};
use firstlight_tests::guest::Leader;
use firstlight_tests::guest::bare::Root;
use firstlight_tests::rig::Rig;
use firstlight_tests::{paths, run, wait};
use serde_json::Value;

use crate::support::unpacked;

const AGENT: &str = "/usr/bin/firstlight-guest";

/// A root whose checks do not wait for the default route that a bare guest never gets.
fn prepared(variant: Variant, more: &str) -> Root {
    let root = unpacked(variant);
    configure(&root, &format!("[checks]\ndeadline = \"2s\"\n{more}"));
    root
}

fn configure(root: &Root, text: &str) {
    let folder = root.path().join("etc/firstlight");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("guest.toml"), text).unwrap();
}

/// A command of this machine's in the guest's network, without any help of the guest.
fn outside(guest: Leader, words: &[&str]) -> String {
    run::must(run::command(["nsenter", "-t", &guest.0.to_string(), "-n", "--"]).args(words)).unwrap()
}

fn lo(guest: Leader) -> Vec<Value> {
    let listed: Value = serde_json::from_str(&outside(guest, &["ip", "-j", "addr", "show", "lo"])).unwrap();
    let found = listed[0]["addr_info"].as_array().unwrap().clone();
    assert!(found.iter().any(|one| one["local"] == "127.0.0.1"), "{listed:#}");
    found
}

fn address(one: &Value) -> IpAddr {
    one["local"].as_str().unwrap().parse().unwrap()
}

fn pieces(guest: Leader) -> Vec<Value> {
    lo(guest).into_iter().filter(|one| beacon::is_piece(address(one))).collect()
}

/// Every address of the guest, as the companion gets them.
fn look(guest: Leader) -> Option<Seen> {
    let listed: Value = serde_json::from_str(&outside(guest, &["ip", "-j", "addr", "show"])).unwrap();
    let infos = listed.as_array().unwrap().iter().flat_map(|link| link["addr_info"].as_array().unwrap());
    let all: Vec<IpAddr> = infos.filter_map(|one| one["local"].as_str()?.parse().ok()).collect();
    beacon::decode(&all).ok().flatten()
}

fn await_beacon(guest: Leader, what: &str, right: impl Fn(&Seen) -> bool) -> Seen {
    let mut last = None;
    wait::until(what, Duration::from_secs(60), || {
        last = look(guest);
        last.clone().filter(&right)
    })
    .unwrap_or_else(|error| panic!("{error}; the beacon is {last:?}, lo has {:#?}", lo(guest)))
}

fn inside(guest: Leader, path: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{}/root{path}", guest.0))
}

/// The report file of this boot, which appears before its beacon.
fn report(guest: Leader) -> (Envelope, Report) {
    let read = || Envelope::parse(&fs::read(inside(guest, "/run/firstlight/report.json")).ok()?).ok();
    let envelope = wait::until("the report", Duration::from_secs(60), read).unwrap();
    let report = serde_json::from_str(&envelope.report).unwrap();
    (envelope, report)
}

fn await_report(guest: Leader) -> (Envelope, Report, Seen) {
    let (envelope, told) = report(guest);
    let sha256 = firstlight_shared::wire::sha256_hex(envelope.report.as_bytes());
    let seen = await_beacon(guest, "the report's beacon", |seen| seen.matches_report(&sha256));
    let state = match told.state {
        ReportState::Ready => State::Ready,
        ReportState::Degraded => State::Degraded,
        ReportState::Failed => State::Failed,
    };
    assert_eq!(seen.state(), state, "{seen:?}");
    (envelope, told, seen)
}

/// The pieces, once the generation before them is gone.
fn one_generation(guest: Leader, form: Form) -> Vec<Value> {
    wait::until("one generation alone", Duration::from_secs(10), || {
        Some(pieces(guest)).filter(|pieces| pieces.len() == form.pieces())
    })
    .unwrap_or_else(|error| panic!("{error}: {:#?}", pieces(guest)))
}

fn assert_deprecated_and_expiring(guest: Leader, form: Form, limit: u64) {
    for one in one_generation(guest, form) {
        assert_eq!(one["deprecated"], true, "{one}");
        assert_eq!(one["noprefixroute"], true, "{one}");
        assert_eq!(one["prefixlen"], form.prefix(), "{one}");
        assert_eq!(one["preferred_life_time"], 0, "{one}");
        assert_eq!(one["scope"], if form == Form::Ipv6 { "link" } else { "host" }, "{one}");
        let left = one["valid_life_time"].as_u64().unwrap();
        assert!((limit - 300..=limit).contains(&left), "{one}");
    }
}

fn status(guest: Leader) -> String {
    let ran = guest.run(&[AGENT, "status"]).unwrap();
    assert!(ran.ok(), "{}", ran.said());
    ran.stdout
        .lines()
        .find(|line| line.starts_with("beacon:"))
        .unwrap_or_else(|| panic!("{}", ran.said()))
        .to_owned()
}

#[test]
fn the_beacon_names_the_very_report_and_a_host_key_that_ssh_trusts_at_every_boot_without_a_host() {
    let root = prepared(Variant::Agent, "");
    let key = || fs::read_to_string(root.path().join("etc/ssh/ssh_host_ed25519_key.pub")).unwrap();
    let mut reports = Vec::new();
    for _ in 0..2 {
        let booted = root.boot("told").unwrap();
        let guest = booted.leader().unwrap();
        let (envelope, told, seen) = await_report(guest);
        assert_deprecated_and_expiring(guest, Form::Ipv6, 86_400);
        assert!(
            !told.identity.problems.iter().any(|line| line.contains("beacon")),
            "{:#?}",
            told.identity.problems
        );
        let told_addresses = told.network.iter().flat_map(|interface| &interface.addresses);
        assert!(!told_addresses.clone().any(|one| beacon::is_piece(one.address)), "{:#?}", told.network);
        let host_key = seen.host_key().expect("an ed25519 host key");
        assert!(key().starts_with(&host_key.public_key), "{host_key:?} is not {}", key());
        assert_eq!(host_key.public_key, envelope.signing_key);
        let state = seen.state().as_str();
        assert!(status(guest).starts_with(&format!("beacon: {state}")), "{}", status(guest));
        assert!(status(guest).contains("7 addresses on lo for 2"), "{}", status(guest));
        ssh_takes(guest, &host_key.public_key, &root);
        reports.push((envelope.report, host_key));
        booted.shut_down().unwrap();
    }
    assert_eq!(reports[0].1, reports[1].1, "the same key");
    assert_ne!(reports[0].0, reports[1].0, "another report");
}

/// OpenSSH logs in with nothing but the line that the beacon gave.
fn ssh_takes(guest: Leader, key: &str, root: &Root) {
    let known = root.path().parent().unwrap().join("known_hosts");
    fs::write(&known, format!("guest {key}\n")).unwrap();
    let login = paths::given(paths::GOLDENS_VARIABLE).join(golden::LOGIN_KEY);
    let known = format!("UserKnownHostsFile={}", known.display());
    let ssh = ["ssh", "-F", "/dev/null", "-i", login.to_str().unwrap(), "-o", "BatchMode=yes", "-o"];
    let options = ["StrictHostKeyChecking=yes", "-o", "HostKeyAlias=guest", "-o", &known, "-o"];
    let words = ["GlobalKnownHostsFile=/dev/null", "root@127.0.0.1", "echo in"];
    wait::until("ssh to start", Duration::from_secs(60), || {
        (guest.unit_state("ssh.service").ok()? == "active").then_some(())
    })
    .unwrap();
    assert_eq!(outside(guest, &[&ssh[..], &options, &words].concat()).trim(), "in");
}

/// Does something in a guest's network on a thread of its own.
fn within<T: Send + 'static>(guest: Leader, work: impl FnOnce() -> T + Send + 'static) -> T {
    let work = move || {
        let namespace = File::open(format!("/proc/{}/ns/net", guest.0)).unwrap();
        nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        work()
    };
    std::thread::spawn(work).join().unwrap()
}

/// Link-local address and index of a guest's interface, once it may be used.
fn link_local(guest: Leader, name: &str) -> (Ipv6Addr, u32) {
    wait::until("a link-local address", Duration::from_secs(10), || {
        let text = outside(guest, &["ip", "-j", "-6", "addr", "show", "dev", name]);
        let listed: Value = serde_json::from_str(&text).unwrap();
        let infos = listed[0]["addr_info"].as_array()?;
        let one = infos.iter().find(|one| one["scope"] == "link" && one["tentative"] != true)?;
        let IpAddr::V6(found) = address(one) else { return None };
        Some((found, u32::try_from(listed[0]["ifindex"].as_u64()?).ok()?))
    })
    .unwrap()
}

/// The source that the kernel chooses for a real socket.
fn source(guest: Leader, to: SocketAddr) -> std::io::Result<IpAddr> {
    within(guest, move || {
        let socket = UdpSocket::bind(if to.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" })?;
        socket.connect(to)?;
        Ok(socket.local_addr()?.ip())
    })
}

fn at(address: Ipv6Addr, port: u16, scope: u32) -> SocketAddr {
    SocketAddrV6::new(address, port, 0, scope).into()
}

fn assert_no_source(guest: Leader, beacons: &[IpAddr], far: &[SocketAddr], routed: &[&str]) {
    for to in far {
        let from = source(guest, *to).unwrap_or_else(|error| panic!("{to}: {error}"));
        assert!(!beacons.contains(&from), "{to} would be reached from the beacon's {from}");
    }
    for words in routed {
        let mut command = vec!["ip", "route", "get"];
        command.extend(words.split(' '));
        let route = outside(guest, &command);
        let from = route.split_whitespace().skip_while(|word| *word != "src").nth(1);
        let from: IpAddr = from.unwrap_or_else(|| panic!("no source in {route}")).parse().unwrap();
        assert!(!beacons.contains(&from), "{words}: {route}");
    }
}

#[test]
fn no_connection_ever_has_a_beacon_address_as_its_source() {
    let (one, two) = (prepared(Variant::Agent, ""), prepared(Variant::Agent, ""));
    let (one, two) = (one.boot("one").unwrap(), two.boot("two").unwrap());
    let (one, two) = (one.settled().unwrap().0, two.settled().unwrap().0);
    await_report(one);
    await_report(two);
    let peer = two.0.to_string();
    outside(one, &["ip", "link", "add", "wire0", "type", "veth", "peer", "name", "wire0", "netns", &peer]);
    for guest in [one, two] {
        outside(guest, &["ip", "link", "set", "wire0", "up"]);
        outside(guest, &["ip", "-6", "route", "add", "default", "dev", "wire0", "metric", "5"]);
    }
    let (own, scope) = link_local(one, "wire0");
    let (far, _) = link_local(two, "wire0");
    let beacons: Vec<IpAddr> = one_generation(one, Form::Ipv6).iter().map(address).collect();
    let global: Ipv6Addr = "2001:db8::1".parse().unwrap();
    let all_nodes: Ipv6Addr = "ff02::1".parse().unwrap();
    let targets = [
        at(Ipv6Addr::LOCALHOST, 9, 0),
        at(own, 9, scope),
        at(far, 9, scope),
        at(all_nodes, 9, scope),
        at(global, 9, 0), // without any global address of its own
        "127.0.0.1:9".parse().unwrap(),
        "10.77.9.2:9".parse().unwrap(),
        "10.77.9.9:9".parse().unwrap(),
    ];
    let far_text = far.to_string();
    let routed = ["::1", "2001:db8::1", "ff02::1 oif wire0", &format!("{far_text} oif wire0")];
    assert_no_source(one, &beacons, &targets, &routed);
    outside(one, &["ip", "addr", "add", "2001:db8:1::2/64", "dev", "wire0", "nodad"]);
    assert_no_source(one, &beacons, &targets, &routed);

    // Real connections: to itself, and to sshd of the other guest.
    for to in [at(Ipv6Addr::LOCALHOST, 22, 0), at(own, 22, scope), at(far, 22, scope)] {
        let from = within(one, move || {
            let stream = TcpStream::connect_timeout(&to, Duration::from_secs(10))?;
            stream.local_addr().map(|local| local.ip())
        });
        let from = from.unwrap_or_else(|error| panic!("{to}: {error}"));
        assert!(!beacons.contains(&from), "{to} is reached from the beacon's {from}");
    }
    // Nobody on the link is answered at a beacon address, and an interface without any address does not take one.
    let IpAddr::V6(first) = beacons[0] else { panic!("{beacons:?}") };
    let scope = link_local(two, "wire0").1;
    let to = at(first, 22, scope);
    let reached = within(two, move || TcpStream::connect_timeout(&to, Duration::from_secs(2)).is_ok());
    assert!(!reached, "{first} answers on the link");
    outside(one, &["ip", "-6", "addr", "flush", "dev", "wire0"]);
    outside(one, &["ip", "-6", "route", "replace", "default", "dev", "wire0", "metric", "5"]);
    assert_no_source(one, &beacons, &[at(global, 9, 0)], &["2001:db8::1"]);
    assert_eq!(pieces(one).len(), 7);
}

#[test]
fn the_beacon_stands_before_anything_is_sent_and_goes_with_the_acknowledgement_for_good() {
    let mut rig = Rig::serving();
    rig.up_waiting(&rig.spec("acked", Variant::Silent, ""), &["acked"]);
    let guest = rig.leader("acked");
    let done = await_beacon(guest, "the identity's beacon", |seen| seen.state() == State::IdentityDone);
    assert!(done.host_key().is_some() && !done.names_report(), "{done:?}");
    assert_deprecated_and_expiring(guest, Form::Ipv6, 86_400);

    // A crash in the middle of raising a generation leaves pieces.
    let torn = Beacon { state: State::Ready, reason: Reason::None, report: Some([7; 32]), key: None };
    for piece in &beacon::encode(&torn, Form::Ipv6, done.generation + 1)[..4] {
        let piece = format!("{piece}/128");
        let words = ["ip", "addr", "add", &piece, "dev", "lo", "valid_lft", "3600", "preferred_lft", "0"];
        outside(guest, &words);
    }
    rig.kill_companion();
    let started = guest.run(&["/usr/bin/systemctl", "start", "firstlight-report.service"]).unwrap();
    assert!(started.ok(), "{}", started.said());
    let (_, told, seen) = await_report(guest);
    assert_eq!(seen.generation, done.generation + 2, "not that of the leftovers");
    assert_eq!(seen.host_key(), done.host_key());
    assert!(
        !told.identity.problems.iter().any(|line| line.contains("beacon")),
        "{:#?}",
        told.identity.problems
    );
    assert_deprecated_and_expiring(guest, Form::Ipv6, 86_400);

    rig.serve();
    wait::until("the beacon to go", Duration::from_secs(60), || pieces(guest).is_empty().then_some(()))
        .unwrap_or_else(|error| panic!("{error}: {}", status(guest)));
    assert_eq!(status(guest), "beacon: none, the host has acknowledged this machine");

    let asked = guest.run(&["/usr/bin/systemctl", "reboot"]).unwrap();
    assert!(asked.ok(), "{}", asked.said());
    let second = wait::until("the guest's next life", Duration::from_secs(60), || {
        Leader::of(&rig.guest_root("acked")).filter(|leader| *leader != guest)
    })
    .unwrap();
    second.settled().unwrap();
    assert_eq!(second.unit_state("firstlight-identity.service").unwrap(), "active");
    assert_eq!(pieces(second), Vec::<Value>::new(), "nobody waits for it any more");

    // Somebody asks for a new report, which nobody has acknowledged.
    rig.kill_companion();
    let mut again = second.command(&[AGENT, "report", "--again"]);
    let mut again = again.stderr(std::process::Stdio::null()).spawn().unwrap();
    await_report(second);
    again.kill().unwrap();
    again.wait().unwrap();
    rig.serve();
}

fn switch_ipv6(guest: Leader, off: &str) {
    for which in ["all", "lo"] {
        let file = format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6");
        outside(guest, &["sh", "-c", &format!("echo {off} > {file} && grep -qx {off} {file}")]);
    }
}

#[test]
fn where_ipv6_is_off_the_ipv4_form_tells_the_same() {
    let root = prepared(Variant::Silent, "[beacon]\nfor = \"2h\"\n");
    let booted = root.boot("four").unwrap();
    let (guest, _) = booted.settled().unwrap();
    assert_deprecated_and_expiring(guest, Form::Ipv6, 7200);
    // As a file in sysctl.d does it in the middle of a boot: the kernel removes all IPv6 addresses.
    switch_ipv6(guest, "1");
    assert_eq!(pieces(guest), Vec::<Value>::new());
    assert!(guest.run(&[AGENT, "identity"]).unwrap().ok());
    let seen = look(guest).unwrap();
    assert_eq!((seen.form, seen.state(), seen.names_report()), (Form::Ipv4, State::IdentityDone, false));
    assert!(guest.run(&[AGENT, "report"]).unwrap().ok());
    let (envelope, _, seen) = await_report(guest);
    assert_eq!(seen.form, Form::Ipv4);
    assert_deprecated_and_expiring(guest, Form::Ipv4, 7200);
    let key = ssh_key::PublicKey::from_openssh(&envelope.signing_key).unwrap();
    assert!(seen.matches_key(&key) && seen.host_key().is_none() && !seen.key_is_ephemeral(), "{seen:?}");
    assert!(status(guest).contains("15 addresses on lo for "), "{}", status(guest));
    let beacons: Vec<IpAddr> = pieces(guest).iter().map(address).collect();
    let targets = ["127.0.0.1:9", "127.3.3.3:9", "10.77.9.2:9", "10.77.9.9:9"].map(|to| to.parse().unwrap());
    assert_no_source(guest, &beacons, &targets, &["127.0.0.1", "127.3.3.3", "10.77.9.9"]);

    switch_ipv6(guest, "0");
    assert!(guest.run(&[AGENT, "identity"]).unwrap().ok());
    let seen = look(guest).unwrap();
    let sha256 = firstlight_shared::wire::sha256_hex(envelope.report.as_bytes());
    assert!(seen.form == Form::Ipv6 && seen.matches_report(&sha256), "{seen:?}");
    assert_deprecated_and_expiring(guest, Form::Ipv6, 7200);
}

#[test]
fn a_failed_identity_is_told_with_its_reason_and_vouches_for_no_host_key() {
    let root = prepared(Variant::Baked, "");
    let key = root.path().join("etc/ssh/ssh_host_ed25519_key");
    run::must(run::command(["chattr", "+i"]).arg(&key)).unwrap();
    let outcome = std::panic::catch_unwind(|| {
        let booted = root.boot("stuck").unwrap();
        let (guest, _) = booted.settled().unwrap();
        let (envelope, _, seen) = await_report(guest);
        assert_eq!((seen.state(), seen.reason()), (State::Failed, Reason::GoldenHostKey));
        assert!(seen.key_is_ephemeral() && seen.host_key().is_none(), "{seen:?}");
        assert!(seen.matches_key(&ssh_key::PublicKey::from_openssh(&envelope.signing_key).unwrap()));

        // As the identity phase leaves it, before there is a report.
        assert!(!guest.run(&[AGENT, "identity"]).unwrap().ok());
        let seen = look(guest).unwrap();
        assert_eq!((seen.state(), seen.reason()), (State::Failed, Reason::GoldenHostKey));
        assert!(!seen.names_report() && seen.host_key().is_none() && !seen.key_is_ephemeral(), "{seen:?}");
        assert!(status(guest).starts_with("beacon: failed (golden-host-key), "), "{}", status(guest));
    });
    run::must(run::command(["chattr", "-i"]).arg(&key)).unwrap(); // or the root could not be removed
    outcome.unwrap();
}

#[test]
fn without_the_right_to_it_there_is_a_problem_line_and_nothing_else() {
    let root = prepared(Variant::Agent, "");
    for unit in ["identity", "report"] {
        let folder = root.path().join(format!("etc/systemd/system/firstlight-{unit}.service.d"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("bound.conf"), "[Service]\nCapabilityBoundingSet=~CAP_NET_ADMIN\n").unwrap();
    }
    let booted = root.boot("bound").unwrap();
    let (guest, _) = booted.settled().unwrap();
    let (_, told) = report(guest);
    assert_eq!(guest.final_unit_state("ssh.service").unwrap(), "active");
    let problems: Vec<&String> =
        told.identity.problems.iter().filter(|line| line.contains("beacon")).collect();
    assert!(problems.len() == 1 && problems[0].contains("CAP_NET_ADMIN"), "{:#?}", told.identity.problems);
    assert_ne!(told.state, ReportState::Failed);
    assert_eq!(pieces(guest), Vec::<Value>::new());
}

#[test]
fn a_beacon_is_no_network_and_a_switched_off_one_goes() {
    let root = prepared(Variant::Silent, "");
    let booted = root.boot("alone").unwrap();
    let (guest, _) = booted.settled().unwrap();
    for family in ["-4", "-6"] {
        outside(guest, &["ip", family, "addr", "flush", "dev", "eth0"]);
        outside(guest, &["ip", family, "route", "add", "default", "dev", "lo"]);
    }
    assert_eq!(pieces(guest).len(), 7, "no beacon: nothing would be proved");
    assert!(guest.run(&[AGENT, "report"]).unwrap().ok());
    let (_, told, seen) = await_report(guest);
    assert_eq!((seen.state(), seen.reason()), (State::Degraded, Reason::CheckFailed));
    let check = told.checks.iter().find(|check| check.id == "network").unwrap();
    assert_eq!(check.verdict, firstlight_shared::check::Verdict::Fail, "{check:?}");
    assert!(check.reason.contains("no address of global scope"), "{check:?}");

    configure(&root, "[beacon]\nenabled = false\n");
    assert!(guest.run(&[AGENT, "identity"]).unwrap().ok());
    assert_eq!(pieces(guest), Vec::<Value>::new());
    assert_eq!(status(guest), "beacon: none");
}
