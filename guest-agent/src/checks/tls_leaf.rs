//! `tls-leaf`: the certificate that is served is the expected one.

use std::net::SocketAddr;

use firstlight_shared::error::Chain;
use firstlight_shared::pin::SpkiPin;
use firstlight_shared::wire::sha256_hex;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use serde::Deserialize;
use serde::de::Error as _;

use super::value::{AbsolutePath, Sha256Text};
use super::{Look, tls};
use crate::sys::{aside, bytes_of};

const MAX_CERTIFICATE: u64 = 1 << 20;

#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Keys")]
pub(super) struct TlsLeaf {
    address: SocketAddr,
    /// Sent as SNI; the address needs none.
    server_name: Option<ServerName<'static>>,
    wanted: Wanted,
}

#[derive(Debug, Clone)]
enum Wanted {
    Fingerprint(String),
    Pin(SpkiPin),
    /// The first certificate of a PEM file.
    File(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    address: SocketAddr,
    server_name: Option<String>,
    sha256: Option<Sha256Text>,
    pin: Option<SpkiPin>,
    certificate: Option<AbsolutePath>,
}

impl TryFrom<Keys> for TlsLeaf {
    type Error = toml::de::Error;
    fn try_from(keys: Keys) -> Result<Self, Self::Error> {
        let wanted = match (keys.sha256, keys.pin, keys.certificate) {
            (Some(Sha256Text(fingerprint)), None, None) => Wanted::Fingerprint(fingerprint),
            (None, Some(pin), None) => Wanted::Pin(pin),
            (None, None, Some(AbsolutePath(path))) => Wanted::File(path),
            _ => return Err(Self::Error::custom("one of `sha256`, `pin` and `certificate` is wanted")),
        };
        let server_name = keys.server_name.map(ServerName::try_from).transpose();
        let server_name =
            server_name.map_err(|_| Self::Error::custom("`server_name` is no name of a server"))?;
        Ok(Self { address: keys.address, server_name, wanted })
    }
}

pub(super) async fn look(keys: &TlsLeaf) -> Look {
    let wanted = match &keys.wanted {
        Wanted::File(path) => match fingerprint_of(path.clone()).await {
            Ok(fingerprint) => Wanted::Fingerprint(fingerprint),
            Err(look) => return look,
        },
        wanted => wanted.clone(),
    };
    match tls::connect(keys.address, keys.server_name.clone()).await {
        Ok((_, leaf)) => judge(&wanted, &leaf).seen(format!("sha256:{}", sha256_hex(&leaf))),
        Err(error) => Look::not_yet(format!("{}: {error}", keys.address)),
    }
}

async fn fingerprint_of(path: String) -> Result<String, Look> {
    let read = path.clone();
    let bytes = match aside(move || bytes_of(read.as_ref(), MAX_CERTIFICATE)).await {
        None => return Err(Look::no_thread()),
        Some(Err(error)) => return Err(Look::cannot_tell(Chain(&error).to_string())),
        Some(Ok(None)) => return Err(Look::not_yet(format!("{path} is not there"))),
        Some(Ok(Some(bytes))) => bytes,
    };
    match CertificateDer::from_pem_slice(&bytes) {
        Ok(certificate) => Ok(sha256_hex(&certificate)),
        Err(_) => Err(Look::not_yet(format!("{path} holds no certificate in PEM form"))),
    }
}

fn judge(wanted: &Wanted, leaf: &CertificateDer<'_>) -> Look {
    let (right, found) = match wanted {
        Wanted::Pin(pin) => match ParsedCertificate::try_from(leaf) {
            Ok(parsed) => {
                let found = SpkiPin::of(&parsed.subject_public_key_info());
                (found == *pin, format!("has the key {found}"))
            }
            Err(error) => return Look::not_yet(format!("the served certificate cannot be read: {error}")),
        },
        Wanted::Fingerprint(wanted) | Wanted::File(wanted) => {
            let found = sha256_hex(leaf);
            (found == *wanted, format!("has the SHA-256 {found}"))
        }
    };
    let seen = format!("the served certificate {found}");
    if right { Look::pass(seen) } else { Look::not_yet(seen) }
}

#[cfg(test)]
mod tests {
    use firstlight_shared::check::Verdict;

    use super::super::units::said;
    use super::*;

    #[test]
    fn a_leaf_is_judged_by_fingerprint_or_key() {
        let pair = rcgen::generate_simple_self_signed(["x".to_owned()]).unwrap();
        let leaf = pair.cert.der();
        use rcgen::PublicKeyData as _;
        let pin = SpkiPin::of(&pair.signing_key.subject_public_key_info());
        for (wanted, verdict) in [
            (Wanted::Pin(pin), Verdict::Pass),
            (Wanted::Pin(SpkiPin::of(b"other")), Verdict::Fail),
            (Wanted::Fingerprint(sha256_hex(leaf)), Verdict::Pass),
            (Wanted::Fingerprint(sha256_hex(b"other")), Verdict::Fail),
        ] {
            assert_eq!(said(&judge(&wanted, leaf)).0, verdict, "{wanted:?}");
        }
    }

    #[test]
    fn exactly_one_expectation_is_wanted() {
        let digest = "AB:".repeat(31) + "cd";
        let check = |keys: &str| toml::from_str::<TlsLeaf>(&format!("address = \"127.0.0.1:443\"\n{keys}"));
        assert!(check(&format!("sha256 = \"{digest}\"\nserver_name = \"a.example\"")).is_ok());
        for wrong in [
            "",
            "certificate = \"x.pem\"",
            "certificate = \"/x\"\npin = \"sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"",
            "certificate = \"/x\"\nserver_name = \"a b\"",
        ] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}
