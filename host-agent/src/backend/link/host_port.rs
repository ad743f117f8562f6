//! Addresses as people write them: HOST, HOST:PORT, https://HOST:PORT, with IPv6 in brackets or bare.

use std::fmt;

/// Host (without brackets) and port. None: it is no such address.
pub fn read(text: &str, default: u16) -> Option<(&str, u16)> {
    let rest = text.strip_prefix("https://").unwrap_or(text);
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if let Some(inner) = rest.strip_prefix('[') {
        let (host, port) = inner.split_once(']')?;
        return match port {
            "" => Some((host, default)),
            port => Some((host, port.strip_prefix(':')?.parse().ok()?)),
        };
    }
    match rest.split_once(':') {
        None => Some((rest, default)),
        Some((_, port)) if port.contains(':') => Some((rest, default)),
        Some((host, port)) => Some((host, port.parse().ok()?)),
    }
}

/// `HOST:PORT`, an IPv6 address in brackets.
pub fn shown(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// # Errors
/// The formatter's.
pub fn write(f: &mut fmt::Formatter<'_>, host: &str, port: u16) -> fmt::Result {
    f.write_str(&shown(host, port))
}
