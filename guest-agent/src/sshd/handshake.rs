//! As much of an SSH client as it takes to learn which host key a server serves, and that it holds the private half.
//!
//! One connection per algorithm: version exchange, key exchange with that one host key algorithm, signature verified
//! over the exchange hash, disconnect. Nothing is ever encrypted or authenticated. The server is taken for hostile:
//! every length is bounded here, the time by the caller. Source: RFC 4253, 5656, 8731, 8332.

mod packet;

use sha2::{Digest, Sha256};
use ssh_key::PublicKey;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::signature::{self, Proof};
use super::wire::{Reader, put_string, put_unsigned};
use crate::agreement::{Agreement, Curve};
use crate::sys::random_bytes;
use packet::Packets;

const VERSION: &str = concat!("SSH-2.0-firstlight_", env!("CARGO_PKG_VERSION"));

/// Message numbers. Source: RFC 4250, 4.1.2; RFC 5656, 7.1.
const DISCONNECT: u8 = 1;
const IGNORE: u8 = 2;
const DEBUG: u8 = 4;
const KEXINIT: u8 = 20;
const ECDH_INIT: u8 = 30;
const ECDH_REPLY: u8 = 31;
/// SSH_DISCONNECT_BY_APPLICATION
const BY_APPLICATION: u32 = 11;
/// So many messages without meaning may come before the one that is waited for.
const MAX_SKIPPED: usize = 8;

/// Ours, best first; the second curve is for servers that allow only what FIPS allows.
const KEX: [(&str, Curve); 3] = [
    ("curve25519-sha256", Curve::X25519),
    ("curve25519-sha256@libssh.org", Curve::X25519),
    ("ecdh-sha2-nistp256", Curve::P256),
];
/// Never used, but there must be a common one.
const CIPHERS: &str = "chacha20-poly1305@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr,aes128-gcm@openssh.com,\
    aes256-gcm@openssh.com,aes256-cbc";
const MACS: &str = "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,hmac-sha2-512,\
    umac-128-etm@openssh.com,umac-128@openssh.com,hmac-sha1";
const COMPRESSION: &str = "none,zlib@openssh.com";

#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("the connection failed")]
    Io(#[from] std::io::Error),
    #[error("the server closed the connection{}", said(.0))]
    Closed(String),
    #[error("what answers there does not speak SSH{}", said(.0))]
    NotSsh(String),
    #[error("the server does not follow the protocol: {0}")]
    Protocol(&'static str),
    #[error("the server ended the connection{}", said(.0))]
    Disconnected(String),
    /// It has no key for this algorithm, or is told not to use it.
    #[error("the server does not offer {0}")]
    NotOffered(String),
    /// Nothing is known of its keys.
    #[error("the server has no key exchange in common with this program")]
    NoCommonKex,
    #[error("the server does not hold the private half of the {0} key that it shows")]
    NotItsKey(String),
}

fn said(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    format!(", it said `{}`", firstlight_shared::text::escape(text, 100))
}

/// What a server proved to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Served {
    pub key: PublicKey,
    /// The server's own version line.
    pub version: String,
    /// It holds the private half; false only where this program has no means to verify.
    pub is_proved: bool,
}

/// Learns which key the server serves by this host key algorithm (`ssh-ed25519`, `rsa-sha2-512`, ...).
///
/// # Errors
/// The server does not offer the algorithm, breaks the protocol, or cannot prove its key.
pub(crate) async fn served(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    algorithm: &str,
) -> Result<Served, HandshakeError> {
    let mut packets = Packets::new(stream);
    packets.write_raw(format!("{VERSION}\r\n").as_bytes()).await?;
    let version = packets.read_version().await?;
    let done = exchange(&mut packets, &version, algorithm).await;
    // Politely, also after an error of the server's: its log then says why, and no error.
    let mut goodbye = vec![DISCONNECT];
    goodbye.extend_from_slice(&BY_APPLICATION.to_be_bytes());
    put_string(&mut goodbye, b"host key seen");
    put_string(&mut goodbye, b"");
    if packets.write(&goodbye).await.is_ok() {
        let _ = packets.stream.shutdown().await; // it may be gone already
    }
    let (key, is_proved) = done?;
    Ok(Served { key, version, is_proved })
}

async fn exchange(
    packets: &mut Packets<impl AsyncRead + AsyncWrite + Unpin>,
    version: &str,
    algorithm: &str,
) -> Result<(PublicKey, bool), HandshakeError> {
    let broken = HandshakeError::Protocol;
    let own_init = own_kexinit(algorithm);
    packets.write(&own_init).await?;
    let its_init = await_message(packets, KEXINIT).await?;
    let offer = Offer::parse(&its_init).ok_or(broken("its KEXINIT is torn"))?;
    if !offer.host_keys.contains(&algorithm) {
        return Err(HandshakeError::NotOffered(algorithm.to_owned()));
    }
    let (name, curve) =
        KEX.iter().find(|(name, _)| offer.kex.contains(name)).ok_or(HandshakeError::NoCommonKex)?;
    // A guess that does not fit is to be ignored. Source: RFC 4253, 7.
    let guess_fits = offer.kex.first() == Some(name) && offer.host_keys.first() == Some(&algorithm);
    if offer.guesses && !guess_fits {
        packets.read().await?;
    }
    let own = Agreement::start(*curve);
    let mut init = vec![ECDH_INIT];
    put_string(&mut init, own.public());
    packets.write(&init).await?;

    let reply = await_message(packets, ECDH_REPLY).await?;
    let mut reader = Reader::new(reply.get(1..).unwrap_or_default());
    let fields = (reader.string(), reader.string(), reader.string(), reader.is_empty());
    let (Some(host_key), Some(its_public), Some(proof), true) = fields else {
        return Err(broken("its ECDH reply is torn"));
    };
    let mut hashed = Vec::new();
    for part in
        [VERSION.as_bytes(), version.as_bytes(), &own_init, &its_init, host_key, own.public(), its_public]
    {
        put_string(&mut hashed, part);
    }
    let secret = own.complete(its_public).ok_or(broken("its public value is no point"))?;
    put_unsigned(&mut hashed, &*secret);
    let hash = Sha256::digest(&hashed);

    let key = PublicKey::from_bytes(host_key).map_err(|_| broken("its host key cannot be read"))?;
    let signed_by = Reader::new(proof).text().ok_or(broken("its signature is torn"))?;
    if signed_by != algorithm {
        return Err(broken("its signature is of another algorithm than was agreed"));
    }
    match signature::verify(&key, proof, &hash) {
        Proof::Holds => Ok((key, true)),
        Proof::Unknown => Ok((key, false)),
        Proof::Fails => Err(HandshakeError::NotItsKey(algorithm.to_owned())),
    }
}

fn own_kexinit(host_key: &str) -> Vec<u8> {
    let mut init = vec![KEXINIT];
    init.extend_from_slice(&random_bytes::<16>());
    let kex = KEX.map(|(name, _)| name).join(",");
    for list in [&kex, host_key, CIPHERS, CIPHERS, MACS, MACS, COMPRESSION, COMPRESSION, "", ""] {
        put_string(&mut init, list.as_bytes());
    }
    init.extend_from_slice(&[0; 5]); // no guess follows; reserved
    init
}

/// What matters of the server's KEXINIT.
#[derive(Debug)]
struct Offer<'a> {
    kex: Vec<&'a str>,
    host_keys: Vec<&'a str>,
    /// Its first message of the key exchange follows unasked.
    guesses: bool,
}

impl<'a> Offer<'a> {
    fn parse(init: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(init);
        reader.take(17)?;
        let (kex, host_keys) = (reader.names()?, reader.names()?);
        for _ in 0..8 {
            reader.string()?;
        }
        Some(Self { kex, host_keys, guesses: reader.byte()? != 0 })
    }
}

async fn await_message(
    packets: &mut Packets<impl AsyncRead + AsyncWrite + Unpin>,
    wanted: u8,
) -> Result<Vec<u8>, HandshakeError> {
    for _ in 0..MAX_SKIPPED {
        let payload = packets.read().await?;
        match payload.first() {
            Some(number) if *number == wanted => return Ok(payload),
            Some(&DISCONNECT) => {
                let mut reader = Reader::new(&payload[1..]);
                let reason = reader.u32().and(reader.string()).unwrap_or_default();
                return Err(HandshakeError::Disconnected(String::from_utf8_lossy(reason).into_owned()));
            }
            Some(&(IGNORE | DEBUG)) => {}
            _ => return Err(HandshakeError::Protocol("it sent another message than is its turn")),
        }
    }
    Err(HandshakeError::Protocol("it sends messages without meaning"))
}

#[cfg(test)]
mod tests;
