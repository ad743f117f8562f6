//! The control socket asked by other users: this very program again, as somebody else. And the report listener's TLS.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use firstlight_tests::run::copy_program;
use tokio::io::AsyncWriteExt;

use crate::client::{Answer, exchange, over_socket};
use crate::post::connect;
use crate::rig::Rig;

const SOCKET: &str = "FIRSTLIGHT_TEST_SOCKET";
const NOBODY: u32 = 65534;
/// A number that has no name on any machine.
const STRANGER: u32 = 54321;

/// Not a test: a child that asks as another user.
#[tokio::test]
#[ignore = "run by the tests beside it, as another user"]
async fn asks() {
    let Some(socket) = std::env::var_os(SOCKET) else { return };
    for (method, path) in [("GET", "/v1/jobs"), ("POST", "/v1/jobs/nothing/cancel"), ("GET", "/readyz")] {
        let answer = over_socket(socket.as_ref(), method, path).await;
        println!("answered {} {}", answer.status, answer.code());
    }
}

/// Not a test: a child that opens as many connections as it can, and keeps them.
#[tokio::test]
#[ignore = "run by the tests beside it, as another user"]
async fn floods() {
    let Some(socket) = std::env::var_os(SOCKET) else { return };
    let mut kept = Vec::new();
    for _ in 0..300 {
        let Ok(mut stream) = tokio::net::UnixStream::connect(&socket).await else { continue };
        // Whoever is closed at once may not even write.
        let _ = stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
        kept.push(stream);
    }
    println!("\nopened {}", kept.len());
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
}

fn child_as(rig: &Rig, test: &str, uid: u32, gid: u32) -> Command {
    // Where a test is built may be closed to others.
    let program = rig.path("asks");
    if !program.exists() {
        copy_program(&std::env::current_exe().unwrap(), &program).unwrap();
    }
    let mut child = Command::new(&program);
    child.args(["--exact", test, "--ignored", "--nocapture"]).env(SOCKET, rig.path("control.sock"));
    child.gid(gid).uid(uid).current_dir("/");
    child
}

fn ask_as(rig: &Rig, uid: u32, gid: u32) -> String {
    let output = child_as(rig, "peer::asks", uid, gid).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let answers: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("answered ")).collect();
    if answers.is_empty() { String::from_utf8_lossy(&output.stderr).into_owned() } else { answers.join(", ") }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_control_socket_the_kernel_says_who_asks() {
    assert!(nix::unistd::geteuid().is_root(), "only root can ask as somebody else");
    let rig = Rig::new(&format!("[api.peers]\nuids = [{NOBODY}]\ngids = [4711]\n"));
    let companion = rig.start().await;
    assert_eq!(rig.socket("GET", "/v1/jobs").await.status, 200, "root is obeyed");
    let obeyed = ask_as(&rig, NOBODY, NOBODY);
    assert!(obeyed.starts_with("200 , ") && !obeyed.contains("401"), "{obeyed}");
    let by_group = ask_as(&rig, STRANGER, 4711);
    assert!(by_group.starts_with("200 , ") && !by_group.contains("401"), "{by_group}");
    assert_eq!(ask_as(&rig, STRANGER, STRANGER), "401 not-obeyed, 401 not-obeyed, 200 ");

    // Without peers the file itself is closed.
    rig.configure("");
    companion.reload(&rig.load().settings).unwrap();
    let closed = ask_as(&rig, NOBODY, NOBODY);
    assert!(closed.contains("Permission denied") || closed.contains("PermissionDenied"), "{closed}");
    companion.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_opens_hundreds_of_connections_shuts_nobody_out() {
    let rig = Rig::new(&format!("[api.peers]\nuids = [{NOBODY}]\n"));
    let companion = rig.start().await;
    // One who is not obeyed, and one who is.
    for uid in [STRANGER, NOBODY] {
        let mut child = child_as(&rig, "peer::floods", uid, uid).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let opened = tokio::task::spawn_blocking(move || {
            said.find_map(|line| line.ok().filter(|line| line.starts_with("opened ")))
        });
        assert!(opened.await.unwrap().is_some());
        let asked = tokio::time::timeout(Duration::from_secs(60), rig.socket("GET", "/v1/jobs")).await;
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(asked.expect("root is not shut out").status, 200);
    }
    companion.stop().await;
}

/// Asks the report listener, whose certificate vouches for nothing but its key.
pub(crate) async fn to_reports(address: SocketAddr, method: &str, path: &str) -> Answer {
    let mut stream = connect(address, [127, 0, 0, 1].into()).await.unwrap();
    exchange(&mut stream, method, path, "").await.unwrap()
}
