//! `sshd`: something that speaks SSH answers on the configured ports. Works for socket activation too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use firstlight_shared::check::Verdict;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::{Context, Look, network};
use crate::paths;
use crate::sys::Root;

const TIME_LIMIT: Duration = Duration::from_secs(3);
/// A server may send other lines first; so much is read. Source: RFC 4253, 4.2.
const MAX_GREETING: usize = 4096;
const UNITS: [&str; 4] = ["ssh.service", "sshd.service", "ssh.socket", "sshd.socket"];

pub(super) async fn look(context: &Context<'_>) -> Look {
    let root = &context.machine.root;
    if !paths::SSHD_SIGNS.iter().any(|path| root.kind(path).is_some()) {
        return Look::Final(Verdict::Skip, "there is no SSH server in this image".to_owned());
    }
    if is_switched_off(context).await {
        return Look::Final(Verdict::Skip, "the SSH server is switched off".to_owned());
    }
    let mut greetings = Vec::new();
    for port in ports(root) {
        match greet(context, port).await {
            Ok(greeting) => greetings.push(format!("port {port}: {greeting}")),
            Err(problem) => return Look::not_yet(format!("port {port}: {problem}")),
        }
    }
    Look::pass(greetings.join(", "))
}

/// None of its units is enabled or running. Unknown counts as switched on.
async fn is_switched_off(context: &Context<'_>) -> bool {
    for unit in UNITS {
        let Ok(file) = context.bus.file_state(unit).await else { return false };
        let off = file
            .is_none_or(|state| matches!(state.as_str(), "disabled" | "masked" | "masked-runtime" | "alias"));
        let Ok(active) = context.bus.active_state(unit).await else { return false };
        if !off || active.is_some_and(|state| state != "inactive") {
            return false;
        }
    }
    true
}

/// The server's own version line, from the first address that answers.
async fn greet(context: &Context<'_>, port: u16) -> Result<String, String> {
    let own = context.machine.interfaces();
    let others = own.iter().flat_map(|interface| &interface.addresses).map(|a| a.address);
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let mut problem = String::new();
    for address in loopback.into_iter().chain(others.filter(|address| network::is_global(*address))) {
        match tokio::time::timeout(TIME_LIMIT, greeting_of(SocketAddr::new(address, port))).await {
            Ok(Ok(greeting)) => return Ok(greeting),
            Ok(Err(error)) if problem.is_empty() => problem = error,
            Err(_) if problem.is_empty() => problem = "no greeting in time".to_owned(),
            _ => {}
        }
    }
    Err(problem)
}

async fn greeting_of(address: SocketAddr) -> Result<String, String> {
    let mut stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 256];
        let count = stream.read(&mut part).await.map_err(|error| error.to_string())?;
        bytes.extend_from_slice(&part[..count]);
        if let Some(line) = version_line(&bytes) {
            return Ok(line);
        }
        if count == 0 || bytes.len() > MAX_GREETING {
            return Err("what answers there does not speak SSH".to_owned());
        }
    }
}

fn version_line(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let (whole, _) = text.rsplit_once('\n')?;
    whole.lines().find(|line| line.starts_with("SSH-2.0-")).map(|line| line.trim_end().to_owned())
}

/// Ports of sshd_config and its drop-in folder; 22 if none is named.
pub(crate) fn ports(root: &Root) -> Vec<u16> {
    let drop_ins = root.list(paths::SSHD_CONFIG_DIR).unwrap_or_default();
    let drop_ins = drop_ins.iter().filter(|name| name.ends_with(".conf"));
    let files = drop_ins.map(|name| format!("{}/{name}", paths::SSHD_CONFIG_DIR));
    let mut ports = Vec::new();
    for path in files.chain([paths::SSHD_CONFIG.to_owned()]) {
        ports.extend(ports_in(&root.read_text(&path).ok().flatten().unwrap_or_default()));
    }
    ports.dedup();
    if ports.is_empty() { vec![22] } else { ports }
}

fn ports_in(text: &str) -> Vec<u16> {
    let before_match = text.lines().map(str::trim).take_while(|line| {
        !line.split_ascii_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case("match"))
    });
    let port = |line: &str| {
        let mut words =
            line.split(|c: char| c.is_ascii_whitespace() || c == '=').filter(|word| !word.is_empty());
        words.next().filter(|word| word.eq_ignore_ascii_case("port")).and(words.next())?.parse().ok()
    };
    before_match.filter_map(port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_sshd_reads_them() {
        assert_eq!(
            ports_in("#Port 1\nPort 22\nport=2222\n  Port\t2022 # x\nMatch all\nPort 9\n"),
            [22, 2222, 2022]
        );
        assert_eq!(ports_in("Port\nPort x\nPortable 3\nPort 99999\n"), Vec::<u16>::new());
    }

    #[test]
    fn the_version_line_may_come_after_others() {
        assert_eq!(version_line(b"hello\r\nSSH-2.0-x\r\n").as_deref(), Some("SSH-2.0-x"));
        for wrong in [&b"SSH-2.0-x"[..], b"SSH-1.5-x\n", b"", b"\xff\n"] {
            assert_eq!(version_line(wrong), None);
        }
    }
}
