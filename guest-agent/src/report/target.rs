//! Where the report goes: an address, never a name (a look-up through libc can kill a static program).

use std::net::SocketAddr;

use firstlight_shared::pin::SpkiPin;
use firstlight_shared::wire::Claim;

use crate::config::Settings;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub address: SocketAddr,
    pub pin: SpkiPin,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TargetError {
    #[error("the host's URL `{0}` does not begin with https://")]
    Scheme(String),
    #[error("the host's URL `{0}` is not https://ADDRESS:PORT: an IP address is wanted, no name and no path")]
    Address(String),
    #[error("there is a URL of the host but no pin of its key: nothing is sent")]
    NoPin,
}

impl firstlight_shared::error::Code for TargetError {
    fn code(&self) -> &'static str {
        match self {
            Self::Scheme(_) | Self::Address(_) => "bad-url",
            Self::NoPin => "no-pin",
        }
    }
}

/// The claim's host, else the configured one; none if neither names one.
///
/// # Errors
/// A URL that cannot be used. A claim's URL is never mixed with the configured pin.
pub(crate) fn choose(claim: Option<&Claim>, settings: &Settings) -> Result<Option<Target>, TargetError> {
    let claimed = claim.and_then(|claim| Some((claim.url.as_deref()?, claim.pin)));
    let configured = settings.url.as_deref().map(|url| (url, settings.pin));
    let Some((url, pin)) = claimed.or(configured) else { return Ok(None) };
    let address = parse(url)?;
    Ok(Some(Target { address, pin: pin.ok_or(TargetError::NoPin)? }))
}

pub(crate) fn parse(url: &str) -> Result<SocketAddr, TargetError> {
    let shown = || firstlight_shared::text::escape(url, 100);
    let authority = url.strip_prefix("https://").ok_or_else(|| TargetError::Scheme(shown()))?;
    let address = authority.strip_suffix('/').unwrap_or(authority).parse::<SocketAddr>();
    match address {
        Ok(address) if address.port() != 0 => Ok(address),
        _ => Err(TargetError::Address(shown())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_with_a_port_are_taken() {
        for right in ["https://10.77.0.1:7443", "https://[fd00::1]:7443/"] {
            assert!(parse(right).is_ok(), "{right}");
        }
        for wrong in [
            "",
            "http://10.0.0.1:1",
            "https://host:1",
            "https://10.0.0.1",
            "https://10.0.0.1:0",
            "https://10.0.0.1:1/x",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
