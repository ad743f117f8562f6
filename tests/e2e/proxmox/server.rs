//! `cargo xtask simpve --real`, as people play with it.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use firstlight_tests::golden::Variant;
use firstlight_tests::guest::Leader;
use firstlight_tests::rig::{leftovers, terminate};
use firstlight_tests::simpve::example::CONTAINER_GOLDEN;
use firstlight_tests::{ports, wait};
use tempfile::TempDir;

use super::api::Api;
use crate::support::archive;

struct Server {
    child: Child,
    api: Api,
    /// Where the guests are.
    cluster: PathBuf,
    _folder: TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Where only the cluster's own folder is looked for, it would be in the way.
        let keys = tempfile::tempdir().unwrap();
        let (authority, port) = (folder.path().join("ca.pem"), ports::free());
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(["simpve", "--scale", "0.1", "--listen", &format!("127.0.0.1:{port}"), "--real"]);
        command.arg(archive(Variant::Dhcp)).arg("--ca").arg(&authority);
        command.arg("--small-token").arg("--keys").arg(keys.path());
        command.env("TMPDIR", folder.path()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let said: Vec<String> = lines.take_while(|line| !line.starts_with("reports\t")).collect();
        assert!(said.iter().any(|line| line.starts_with("network\tflpve-")), "{said:?}");
        assert!(said.iter().any(|line| line.starts_with("small token\tsmall@pve!host=")), "{said:?}");
        let kept = std::fs::read_to_string(keys.path().join("authority.pem")).unwrap();
        assert_eq!(std::fs::read_to_string(&authority).unwrap(), kept);
        let entries = std::fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.path());
        let cluster = entries.into_iter().find(|path| path.is_dir()).unwrap();
        Self { child, api: Api { port, authority }, cluster, _folder: folder }
    }

    /// A running container, whose first process this is.
    fn boot(&self) -> Leader {
        let archive = format!("ostemplate={CONTAINER_GOLDEN}");
        let create = ["vmid=101", "restore=1", "unique=1", "start=1", "hostname=played", &archive];
        self.api.task("POST", "/nodes/pve1/lxc", &create).unwrap();
        let root = self.cluster.join("guests/101/root");
        let guest = wait::until("the guest", Duration::from_secs(90), || Leader::of(&root)).unwrap();
        guest.settled().unwrap();
        guest
    }

    fn assert_nothing_is_left(&self, guest: Leader) {
        let left = leftovers::find(&self.cluster);
        assert!(left.is_empty() && !guest.alive(), "left behind:\n{}", left.join("\n"));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_server_takes_its_guests_with_it() {
    let mut server = Server::start();
    let guest = server.boot();
    terminate(server.child.id());
    let ended =
        wait::until("the server to end", Duration::from_secs(30), || server.child.try_wait().unwrap());
    assert!(ended.unwrap().success());
    server.assert_nothing_is_left(guest);
    assert!(!server.cluster.exists());
}

#[test]
fn a_server_that_is_killed_leaves_nothing_either() {
    let mut server = Server::start();
    let guest = server.boot();
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    let gone = wait::until("the caretaker's work", Duration::from_secs(30), || {
        (!server.cluster.exists()).then_some(())
    });
    gone.unwrap();
    server.assert_nothing_is_left(guest);
}
