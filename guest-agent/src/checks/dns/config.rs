//! hosts(5) and resolv.conf(5).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

const PORT: u16 = 53;
/// As the C library limits itself. Source: resolv.h, MAXNS and MAXDNSRCH.
const MAX_SERVERS: usize = 3;
const MAX_SEARCH: usize = 6;
const MAX_NDOTS: usize = 15;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResolvConf {
    pub(super) servers: Vec<SocketAddr>,
    search: Vec<String>,
    ndots: usize,
}

impl ResolvConf {
    /// Lines that are not understood are passed over, as the C library does.
    pub(super) fn parse(text: &str) -> Self {
        let mut parsed = Self { servers: Vec::new(), search: Vec::new(), ndots: 1 };
        for line in text.lines().filter(|line| !line.starts_with(['#', ';'])) {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => parsed.servers.extend(words.next().and_then(server)),
                // The last of these lines counts.
                Some("search" | "domain") => {
                    let domains = words.map(|domain| domain.trim_end_matches('.').to_owned());
                    parsed.search = domains.filter(|domain| !domain.is_empty()).take(MAX_SEARCH).collect();
                }
                Some("options") => {
                    let ndots =
                        words.rev().find_map(|word| word.strip_prefix("ndots:")?.parse::<usize>().ok());
                    parsed.ndots = ndots.unwrap_or(parsed.ndots).min(MAX_NDOTS);
                }
                _ => {}
            }
        }
        parsed.servers.truncate(MAX_SERVERS);
        if parsed.servers.is_empty() {
            parsed.servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT));
        }
        parsed
    }

    /// The names to ask for in this order, each with its final dot left away.
    pub(super) fn candidates(&self, name: &str) -> Vec<String> {
        if let Some(absolute) = name.strip_suffix('.') {
            return vec![absolute.to_owned()];
        }
        let mut names: Vec<String> = self.search.iter().map(|domain| format!("{name}.{domain}")).collect();
        let at = if name.matches('.').count() >= self.ndots { 0 } else { names.len() };
        names.insert(at, name.to_owned());
        names
    }
}

/// An address, for link-local ones with `%INTERFACE`.
fn server(text: &str) -> Option<SocketAddr> {
    if let Some((address, scope)) = text.split_once('%') {
        let address: Ipv6Addr = address.parse().ok()?;
        let scope = scope.parse().ok().or_else(|| nix::net::if_::if_nametoindex(scope).ok())?;
        return Some(SocketAddrV6::new(address, PORT, 0, scope).into());
    }
    Some(SocketAddr::new(text.parse().ok()?, PORT))
}

/// The addresses that hosts(5) gives a name.
pub(super) fn in_hosts(text: &str, name: &str) -> Vec<IpAddr> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let address = |line: &str| {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|word| word.eq_ignore_ascii_case(name)).then_some(address)
    };
    text.lines().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_search_list_and_options_are_read() {
        let parsed = ResolvConf::parse(
            "# comment\nnameserver 10.0.0.1\nnameserver odd\nnameserver fe80::1%1\nnameserver ::1\nnameserver 1.1.1.1\n\
             search old.example\ndomain a.example. b.example\noptions rotate ndots:2\n",
        );
        let shown: Vec<String> = parsed.servers.iter().map(SocketAddr::to_string).collect();
        assert_eq!(shown, ["10.0.0.1:53", "[fe80::1%1]:53", "[::1]:53"]);
        assert_eq!(parsed.candidates("x"), ["x.a.example", "x.b.example", "x"]);
        assert_eq!(parsed.candidates("x.y.z"), ["x.y.z", "x.y.z.a.example", "x.y.z.b.example"]);
        assert_eq!(parsed.candidates("x."), ["x"]);
        assert_eq!(ResolvConf::parse("").servers, ["127.0.0.1:53".parse().unwrap()]);
    }

    #[test]
    fn hosts_entries_are_found_by_any_of_their_names() {
        let text = "127.0.0.1 localhost\n10.0.0.2\tDB.example db # db2\nodd db\n::2 db\n";
        let found = |name| in_hosts(text, name).iter().map(IpAddr::to_string).collect::<Vec<_>>();
        assert_eq!(found("db"), ["10.0.0.2", "::2"]);
        assert_eq!(found("db.example."), ["10.0.0.2"]);
        assert_eq!(found("db2"), [""; 0]);
    }
}
