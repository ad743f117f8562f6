//! What `incus config trust add` prints: who may have its certificate trusted, once.
//!
//! Source: CertificateAddToken in shared/api/certificate.go of Incus: JSON in base64.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::SERVERS;
use crate::backend::link::Address;
use crate::backend::link::pin::Fingerprint;

/// Its secret is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct TrustToken {
    /// As it was given.
    text: String,
    pub client: String,
    /// Of the server's certificate.
    pub server: Fingerprint,
    /// Where the server listens, in its own order.
    pub addresses: Vec<Address>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("it is no token of `incus config trust add`")]
    Form,
    #[error("it names no address that can be used")]
    Addresses,
    #[error("it names no certificate of a server")]
    Fingerprint,
}

#[derive(Deserialize)]
struct Fields {
    #[serde(default)]
    client_name: String,
    fingerprint: String,
    addresses: Vec<String>,
    secret: String,
}

impl TrustToken {
    /// # Errors
    /// It is none; nothing of it is repeated.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        let json = STANDARD.decode(text).map_err(|_| TokenError::Form)?;
        let fields: Fields = serde_json::from_slice(&json).map_err(|_| TokenError::Form)?;
        if fields.secret.is_empty() {
            return Err(TokenError::Form);
        }
        let server = fields.fingerprint.parse().map_err(|_| TokenError::Fingerprint)?;
        let addresses: Vec<Address> =
            fields.addresses.iter().filter_map(|address| SERVERS.read(address).ok()).collect();
        if addresses.is_empty() {
            return Err(TokenError::Addresses);
        }
        Ok(Self { text: text.to_owned(), client: fields.client_name, server, addresses })
    }

    /// For the server.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for TrustToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustToken({}, {:?}, hidden)", self.client, self.server)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn token(change: impl FnOnce(&mut serde_json::Value)) -> String {
        let mut fields = json!({
            "client_name": "us",
            "fingerprint": "57bb0ff4340b5bb28517e062023101adf788c37846dc8b619eb2c3cb4ef29436",
            "addresses": ["10.98.30.229:8443", "[fd00::1]:8443"],
            "secret": "2b2284d44db32675",
            "expires_at": "0001-01-01T00:00:00Z",
        });
        change(&mut fields);
        STANDARD.encode(fields.to_string())
    }

    #[test]
    fn a_token_names_the_server_and_hides_its_secret() {
        let text = token(|_| ());
        let read = TrustToken::parse(&format!("{text}\n")).unwrap();
        assert!(read.server.to_string().starts_with("57:BB:0F:F4:"));
        let addresses: Vec<String> = read.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["10.98.30.229:8443", "[fd00::1]:8443"]);
        assert_eq!((read.client.as_str(), read.expose()), ("us", text.as_str()));
        assert!(!format!("{read:?}").contains(&text) && !format!("{read:?}").contains("2b2284d4"));
    }

    #[test]
    fn what_is_no_token_is_said_so() {
        for (text, wrong) in [
            (String::new(), TokenError::Form),
            ("not base64!".to_owned(), TokenError::Form),
            (STANDARD.encode("{}"), TokenError::Form),
            (token(|fields| fields["secret"] = "".into()), TokenError::Form),
            (token(|fields| fields["fingerprint"] = "57bb".into()), TokenError::Fingerprint),
            (token(|fields| fields["addresses"] = json!([])), TokenError::Addresses),
            (token(|fields| fields["addresses"] = json!(["a b"])), TokenError::Addresses),
        ] {
            assert_eq!(TrustToken::parse(&text).unwrap_err(), wrong);
        }
    }
}
