//! Which sockets listen, as the kernel lists them. Source: proc_net_tcp.rst of the Linux documentation.

use std::collections::BTreeSet;

/// State `TCP_LISTEN`.
const LISTEN: &str = "0A";

/// Inode numbers of the sockets that listen on one of these TCP ports: new numbers mean new sockets.
pub(crate) fn listening_sockets(ports: &[u16]) -> BTreeSet<u64> {
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
    tables.iter().flat_map(|table| parse(table, ports)).collect()
}

pub(crate) fn parse(table: &str, ports: &[u16]) -> Vec<u64> {
    let row = |line: &str| {
        let mut words = line.split_whitespace();
        let port = words.nth(1)?.rsplit_once(':').and_then(|(_, port)| u16::from_str_radix(port, 16).ok())?;
        let listens = words.nth(1)? == LISTEN && ports.contains(&port);
        let inode = words.nth(5)?.parse().ok()?;
        listens.then_some(inode)
    };
    table.lines().skip(1).filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listeners_on_these_ports_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 8153 1 0 100 0 0 10 0\n   \
            1: 0100007F:0016 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 8154 1 0 20 4 30 10 -1\n   \
            2: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 8155 1 0 100 0 0 10 0\nodd\n";
        assert_eq!(parse(table, &[22]), [8153]);
        assert_eq!(parse(table, &[22, 80]), [8153, 8155]);
        assert_eq!(parse("", &[22]), [0; 0]);
    }

    #[test]
    fn a_new_socket_has_a_new_number() {
        // Whoever else uses this machine may take the port in between: another one then.
        for _ in 0..100 {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let first = listening_sockets(&[port]);
            assert_eq!(first.len(), 1);
            drop(listener);
            if let Ok(_again) = std::net::TcpListener::bind(("127.0.0.1", port)) {
                return assert!(listening_sockets(&[port]).is_disjoint(&first));
            }
        }
        panic!("no port could be bound twice");
    }
}
