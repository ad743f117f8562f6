//! What attackers share: connections from any address of the loopback, and bytes as they like them.

use std::net::{IpAddr, SocketAddr};

use firstlight_shared::paths::REPORT_ENDPOINT;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::post::connect;

/// This process may have 10,000 connections.
pub(crate) fn open_many_files() {
    const WANTED: u64 = 12_000;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    if soft < WANTED {
        // Root may have more than it has.
        let raised = setrlimit(Resource::RLIMIT_NOFILE, WANTED, hard.max(WANTED));
        raised.unwrap_or_else(|error| panic!("{WANTED} files are wanted, {hard} may be had: {error}"));
    }
}

/// One of a hostile machine's addresses.
pub(crate) fn address(number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    IpAddr::from([127, 66, high, low])
}

pub(crate) async fn plain(target: SocketAddr, source: IpAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::new(source, 0))?;
    socket.connect(target).await
}

/// A request's head to the place of reports, with these lines in it.
pub(crate) fn head(lines: &str) -> String {
    format!("POST {REPORT_ENDPOINT} HTTP/1.1\r\nHost: companion\r\n{lines}\r\n")
}

/// Sends these bytes over TLS; what comes back until the other side ends it, or nothing.
pub(crate) async fn say(target: SocketAddr, source: IpAddr, bytes: &[u8]) -> String {
    let mut answer = Vec::new();
    let said = async {
        let mut stream = connect(target, source).await.ok()?;
        stream.write_all(bytes).await.ok()?;
        // Cut off without a goodbye is an end, too.
        let _ = stream.read_to_end(&mut answer).await;
        Some(())
    };
    let _ = tokio::time::timeout(std::time::Duration::from_secs(15), said).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Status of an HTTP answer; 0: there was none.
pub(crate) fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
}
