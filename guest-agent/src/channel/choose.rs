//! Which channels this guest has: what the claim says, what guest.toml says, what the machine shows.

use std::net::SocketAddr;

use firstlight_shared::pin::SpkiPin;
use firstlight_shared::text::escape;
use firstlight_shared::wire::Claim;

use super::Channel;
use crate::config::Settings;
use crate::paths;
use crate::sys::{Machine, port_device};

/// The port that is used where nobody configured one, if it is there.
const DEFAULT_PORT: &str = "org.firstlight.0";
/// Whether the machine shows what [`choose`] looks for.
pub(crate) fn is_there(machine: &Machine, path: &str) -> bool {
    let port = || path.strip_prefix(paths::VIRTIO_PORTS)?.strip_prefix('/').and_then(port_device);
    machine.live && (machine.root.kind(path).is_some() || port().is_some())
}

/// More make no sense, and the log of each costs memory.
const MOST: usize = 8;
/// Of a path in a socket address, with its end: unix(7).
const MAX_SOCKET_PATH: usize = 108;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChannelError {
    #[error(
        "`{0}` is no way to the host: https://ADDRESS:PORT, unix:/PATH, vsock:CID:PORT, virtio-port:NAME, incus: or file: is wanted"
    )]
    Scheme(String),
    #[error("the host's URL `{0}` is not https://ADDRESS:PORT: an IP address is wanted, no name and no path")]
    Address(String),
    #[error("there is a URL of the host, `{0}`, but no pin of its key: nothing is sent there")]
    NoPin(String),
    #[error("`{0}` is not unix:/PATH: an absolute path of fewer than {MAX_SOCKET_PATH} bytes is wanted")]
    Path(String),
    #[error("`{0}` is not vsock:CID:PORT with two numbers; the hypervisor has CID 2")]
    Vsock(String),
    #[error("`{0}` is not virtio-port:NAME: letters, digits, dots, dashes and underscores are wanted")]
    Port(String),
    #[error("there are more than {MOST} ways to the host: `{0}` is left out")]
    TooMany(String),
}

impl firstlight_shared::error::Code for ChannelError {
    fn code(&self) -> &'static str {
        match self {
            Self::Scheme(_) | Self::Address(_) | Self::Path(_) | Self::Vsock(_) | Self::Port(_) => "bad-url",
            Self::NoPin(_) => "no-pin",
            Self::TooMany(_) => "too-many",
        }
    }
}

/// The channels, and what cannot be used of what was asked for.
///
/// The claim's URL stands in for everything that guest.toml says of the network: a pin of the one never goes with an
/// address of the other. The ways of the machine itself are guest.toml's `channels`, else what `is_there` (paths below
/// the root) shows: devIncus and the port of the usual name.
pub(crate) fn choose(
    claim: Option<&Claim>,
    settings: &Settings,
    is_there: impl Fn(&str) -> bool,
) -> (Vec<Channel>, Vec<ChannelError>) {
    let socket = paths::DEV_INCUS.into_iter().find(|path| is_there(path));
    let incus = format!("/{}", socket.unwrap_or(paths::DEV_INCUS[0]));
    let read = |text: &str, pin| parse(text, pin, &incus);
    let mut found: Vec<Result<Option<Channel>, ChannelError>> = Vec::new();
    let claimed = claim.and_then(|claim| Some((claim.url.as_deref()?, claim.pin)));
    let configured = settings.url.as_deref().map(|url| (url, settings.pin));
    found.extend(claimed.or(configured).map(|(url, pin)| read(url, pin)));
    match &settings.channels {
        Some(channels) => {
            let others_network = |text: &&String| claimed.is_some() && text.starts_with("https://");
            let own = channels.iter().filter(|text| !others_network(text));
            found.extend(own.map(|text| read(text, settings.pin)));
        }
        None => {
            found.extend(socket.map(|_| Ok(Some(Channel::Incus(incus.clone())))));
            let port = format!("{}/{DEFAULT_PORT}", paths::VIRTIO_PORTS);
            found.extend(is_there(&port).then(|| Ok(Some(Channel::VirtioPort(DEFAULT_PORT.to_owned())))));
        }
    }
    let (mut channels, mut errors) = (Vec::new(), Vec::new());
    for one in found {
        match one {
            Ok(Some(channel)) if channels.contains(&channel) => {}
            Ok(Some(channel)) if channels.len() == MOST => {
                errors.push(ChannelError::TooMany(channel.to_string()));
            }
            Ok(Some(channel)) => channels.push(channel),
            Ok(None) => {}
            Err(error) => errors.push(error),
        }
    }
    (channels, errors)
}

/// None for `file:`, which is always written.
fn parse(text: &str, pin: Option<SpkiPin>, incus: &str) -> Result<Option<Channel>, ChannelError> {
    let shown = || escape(text, 100);
    let Some((scheme, rest)) = text.split_once(':') else { return Err(ChannelError::Scheme(shown())) };
    Ok(Some(match (scheme, rest) {
        ("https", rest) => {
            let authority = rest.strip_prefix("//").ok_or_else(|| ChannelError::Address(shown()))?;
            let address = authority.strip_suffix('/').unwrap_or(authority).parse::<SocketAddr>();
            let address = address.ok().filter(|address| address.port() != 0);
            let address = address.ok_or_else(|| ChannelError::Address(shown()))?;
            Channel::Https { address, pin: pin.ok_or_else(|| ChannelError::NoPin(shown()))? }
        }
        ("unix", path) if is_socket_path(path) => Channel::Unix(path.to_owned()),
        ("unix", _) => return Err(ChannelError::Path(shown())),
        ("vsock", rest) => {
            let (cid, port) = rest.split_once(':').ok_or_else(|| ChannelError::Vsock(shown()))?;
            let number = |text: &str| {
                let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                // The largest number stands for "any" in both places: vsock(7).
                let number = digits.then(|| text.parse::<u32>().ok())?;
                number.filter(|number| *number != u32::MAX)
            };
            let (cid, port) = number(cid).zip(number(port)).ok_or_else(|| ChannelError::Vsock(shown()))?;
            Channel::Vsock { cid, port }
        }
        ("virtio-port", name) if is_port_name(name) => Channel::VirtioPort(name.to_owned()),
        ("virtio-port", _) => return Err(ChannelError::Port(shown())),
        ("incus", "") => Channel::Incus(incus.to_owned()),
        ("file", "") => return Ok(None),
        _ => return Err(ChannelError::Scheme(shown())),
    }))
}

fn is_socket_path(path: &str) -> bool {
    path.len() > 1
        && path.starts_with('/')
        && path.len() < MAX_SOCKET_PATH
        && !path.chars().any(char::is_control)
}

/// A name in one folder, never a path out of it.
fn is_port_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    name.len() <= 64 && name.bytes().all(fits) && name.bytes().any(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIN: &str = "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

    fn shown(
        claim: Option<(&str, bool)>,
        url: Option<&str>,
        channels: Option<&[&str]>,
        there: &[&str],
    ) -> String {
        let mut settings = Settings { url: url.map(str::to_owned), ..Settings::default() };
        settings.pin = url.map(|_| SpkiPin::of(b"configured"));
        settings.channels = channels.map(|list| list.iter().map(|text| (*text).to_owned()).collect());
        let claim = claim.map(|(url, pinned)| {
            let pin = if pinned { format!(r#","pin":"{PIN}""#) } else { String::new() };
            Claim::parse(format!(r#"{{"version":1,"id":"a","url":"{url}"{pin}}}"#).as_bytes()).unwrap()
        });
        let (channels, errors) = choose(claim.as_ref(), &settings, |path| there.contains(&path));
        for channel in &channels {
            if let Channel::Https { pin, .. } = channel {
                let claims = claim.as_ref().is_some_and(|claim| claim.pin == Some(*pin));
                assert_eq!(claims, claim.is_some(), "a pin went with another's address: {channel}");
            }
        }
        let channels = channels.iter().map(ToString::to_string);
        let errors = errors.iter().map(|error| firstlight_shared::error::Code::code(error).to_owned());
        channels.chain(errors).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn claim_configuration_and_machine_each_have_their_say() {
        let (ours, theirs) = ("https://10.0.0.1:1", "https://10.0.0.2:2");
        let (sock, port) = ("dev/incus/sock", "dev/virtio-ports/org.firstlight.0");
        for (claim, url, channels, there, expected) in [
            (None, None, None, &[][..], ""),
            (None, Some(ours), None, &[], ours),
            (Some((theirs, true)), Some(ours), None, &[], theirs),
            (Some((theirs, false)), Some(ours), None, &[], "no-pin"),
            (
                Some((theirs, true)),
                Some(ours),
                Some(&[ours, "unix:/run/a"][..]),
                &[sock],
                "https://10.0.0.2:2 unix:/run/a",
            ),
            (Some(("virtio-port:a.b", false)), Some(ours), None, &[], "virtio-port:a.b"),
            (
                None,
                Some(ours),
                Some(&[ours, "vsock:2:7443", "incus:", "file:"]),
                &[],
                "https://10.0.0.1:1 vsock:2:7443 incus:",
            ),
            (None, None, None, &[sock, port], "incus: virtio-port:org.firstlight.0"),
            (None, None, None, &["dev/lxd/sock"], "incus:"),
            (None, None, Some(&["file:"]), &[sock, port], ""),
            (None, None, Some(&["unix:/a", "nonsense"]), &[], "unix:/a bad-url"),
        ] {
            assert_eq!(shown(claim, url, channels, there), expected);
        }
        let many: Vec<String> = (1..=9).map(|port| format!("vsock:2:{port}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(shown(None, None, Some(&many), &[]).ends_with("vsock:2:8 too-many"));
    }

    #[test]
    fn only_addresses_and_paths_are_taken() {
        let pin = PIN.parse().ok();
        for right in [
            "https://10.77.0.1:7443",
            "https://[fd00::1]:7443/",
            "unix:/run/host.sock",
            "vsock:2:1",
            "virtio-port:org.firstlight.0",
            "incus:",
        ] {
            assert!(matches!(parse(right, pin, "/dev/incus/sock"), Ok(Some(_))), "{right}");
        }
        assert_eq!(parse("file:", pin, ""), Ok(None));
        let long = format!("unix:/{}", "x".repeat(MAX_SOCKET_PATH));
        for wrong in [
            "",
            "http://10.0.0.1:1",
            "https://host:1",
            "https://10.0.0.1",
            "https://10.0.0.1:0",
            "https://10.0.0.1:1/x",
            "https:10.0.0.1:1",
            "unix:",
            "unix:/",
            "unix:run",
            "unix:/a\nb",
            &long,
            "vsock:2",
            "vsock:2:",
            "vsock:+2:1",
            "vsock:4294967295:1",
            "vsock:2:1:3",
            "virtio-port:",
            "virtio-port:../x",
            "virtio-port:..",
            "virtio-port:a b",
            "incus:/x",
            "file:/x",
            "name:7443",
            "10.0.0.1:1",
        ] {
            let error = parse(wrong, pin, "").unwrap_err().to_string();
            assert!(!error.contains('\n'), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_channel_that_reads_back_or_an_error(text in ".{0,80}", scheme in 0..7usize) {
            let scheme = ["", "https://", "unix:/", "vsock:", "virtio-port:", "incus:", "https://10.0.0.1:"][scheme];
            if let Ok(Some(channel)) = parse(&format!("{scheme}{text}"), PIN.parse().ok(), "/dev/incus/sock") {
                let again = parse(&channel.to_string(), PIN.parse().ok(), "/dev/incus/sock");
                proptest::prop_assert_eq!(again, Ok(Some(channel)));
            }
        }
    }
}
