//! A local user on the control socket who is not obeyed: this very program again, as somebody else.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use firstlight_tests::run::copy_program;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use crate::honest;
use crate::site::Site;

const SOCKET: &str = "FIRSTLIGHT_TEST_SOCKET";
/// A number that has no name on any machine.
const STRANGER: u32 = 54322;

/// Not a test: a child that connects again and again; some of its connections say nothing, some send a body of megabytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by the test beside it, as another user"]
async fn harries() {
    let Some(socket) = std::env::var_os(SOCKET) else { return };
    let mut attack = JoinSet::new();
    for number in 0..600 {
        let socket = socket.clone();
        attack.spawn(async move {
            loop {
                let _ = harry(socket.as_ref(), number).await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
}

async fn harry(socket: &Path, number: usize) -> std::io::Result<()> {
    let mut stream = UnixStream::connect(socket).await?;
    match number % 3 {
        0 => tokio::time::sleep(Duration::from_secs(20)).await,
        1 => {
            stream.write_all(b"POST /v1/up HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n").await?;
            loop {
                stream.write_all(&[b'['; 65536]).await?;
            }
        }
        _ => {
            for byte in "GET /v1/jobs HTTP/1.1\r\n".bytes().chain(std::iter::repeat(b'x')) {
                stream.write_all(&[byte]).await?;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_on_the_control_socket_keeps_neither_root_nor_guests_out() {
    assert!(nix::unistd::geteuid().is_root(), "only root can ask as somebody else");
    let guests = honest::guests(15);
    // With somebody else whom it obeys, the socket is open to all, and the kernel's word guards it.
    let mut site = Site::with(&guests, |_| "[api.peers]\nuids = [65534]\n".to_owned()).await;
    // Where a test is built may be closed to others.
    let program = site.folder.path().join("harries");
    copy_program(&std::env::current_exe().unwrap(), &program).unwrap();
    let mut child = Command::new(&program)
        .args(["--exact", "locals::harries", "--ignored", "--nocapture"])
        .env(SOCKET, site.socket())
        .current_dir("/")
        .gid(STRANGER)
        .uid(STRANGER)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut waits = Vec::new();
    for _ in 0..10 {
        let began = Instant::now();
        assert!(site.get("/v1/jobs").await.starts_with("HTTP/1.1 200 "), "root is obeyed");
        waits.push(began.elapsed());
    }
    let longest = waits.into_iter().max().unwrap();
    eprintln!("root was answered within {longest:?} beside 600 connections of a stranger");
    let fared = site
        .beside("600 connections of a local stranger", JoinSet::new(), guests, Duration::from_millis(100))
        .await;
    assert!(child.try_wait().unwrap().is_none(), "the stranger ended too early");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(
        longest < Duration::from_secs(5) && fared.longest < Duration::from_secs(5),
        "{longest:?} {fared:?}"
    );
}
