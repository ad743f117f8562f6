//! The server of the tests: it does what they rely on.

use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use firstlight_tests::rig::incus::{GOLDEN, IncusServer, SILENT_NETWORK, TIGHT_POOL};
use firstlight_tests::wait;

fn listed(server: &IncusServer, guest: &str) -> String {
    server.must(&["list", guest, "--format", "csv", "--columns", "s4"]).unwrap()
}

#[test]
fn a_server_runs_guests_that_reach_this_machine_and_leaves_nothing() {
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let limit = || std::fs::read_to_string("/proc/sys/fs/inotify/max_user_instances").unwrap();
    let server = IncusServer::for_tests();
    assert!(limit().trim().parse::<u32>().unwrap() >= 1024);
    let before = server.inventory("default").unwrap();
    server.must(&["launch", GOLDEN, "web-01"]).unwrap();
    let seen = wait::until("an address", Duration::from_secs(60), || {
        Some(listed(&server, "web-01")).filter(|listed| listed.contains("10.80."))
    });
    seen.unwrap_or_else(|error| panic!("{error}: {}", listed(&server, "web-01")));

    // Reports come to this machine.
    let reports = TcpListener::bind((server.gateway(), 0)).unwrap();
    let port = reports.local_addr().unwrap().port();
    let connect = format!("exec 3<>/dev/tcp/{}/{port}", server.gateway());
    server.must(&["exec", "web-01", "--", "bash", "-c", &connect]).unwrap();
    server.must(&["delete", "--force", "web-01"]).unwrap();
    assert_eq!(server.inventory("default").unwrap(), before);

    let traces = server.traces();
    assert!(traces.iter().all(|path| path.exists()), "{traces:?}");
    drop(server);
    assert_eq!(traces.iter().filter(|path| path.exists()).count(), 0, "{traces:?}");
    let folder = traces[1].to_string_lossy().into_owned();
    assert!(!mounts().contains(&folder), "{}", mounts());
}

#[test]
fn guests_outlive_a_server_that_is_killed() {
    let server = IncusServer::for_tests();
    server.must(&["launch", GOLDEN, "web-01"]).unwrap();
    let booted = || server.must(&["exec", "web-01", "--", "cat", "/proc/sys/kernel/random/boot_id"]).ok();
    let before = wait::until("the guest", Duration::from_secs(60), booted).unwrap();
    server.kill().unwrap();
    assert!(UnixStream::connect(server.socket()).is_err());
    server.start_again().unwrap();
    assert_eq!(booted().unwrap(), before);
}

#[test]
fn what_faults_need_is_there() {
    let server = IncusServer::shared();
    server.project("rig-faults", &["restricted=true"]).unwrap();
    let full = server.incus(&["init", GOLDEN, "big", "--storage", TIGHT_POOL]);
    assert!(!full.ok() && full.stderr.contains("out of disk space"), "{}", full.said());
    assert!(!server.incus(&["info", "big"]).ok());
    let silent = server.must(&["network", "get", SILENT_NETWORK, "ipv4.address"]).unwrap();
    assert_eq!(silent.trim(), "none");
    // Over HTTPS nobody is trusted who has no certificate.
    let url = format!("https://{}/1.0/instances", server.address());
    let mut curl = firstlight_tests::run::command(["curl", "-sS", "--cacert"]);
    curl.arg(server.certificate()).args(["--resolve", &resolved(server), &url]);
    let said = firstlight_tests::run::run(&mut curl).unwrap();
    assert!(said.stdout.contains("403") || said.stderr.contains("certificate"), "{}", said.said());
    assert!(Path::new(&server.socket()).exists());
    // A restricted project refuses what its owner was not allowed.
    let devices = ["--config", "security.privileged=true"];
    let refused = server.incus(&["--project", "rig-faults", "init", GOLDEN, "a", devices[0], devices[1]]);
    assert!(!refused.ok() && refused.stderr.contains("rivileged"), "{}", refused.said());
    server.must(&["project", "delete", "rig-faults"]).unwrap();
}

fn resolved(server: &IncusServer) -> String {
    format!("{}:{}:{}", server.address().ip(), server.address().port(), server.address().ip())
}
