//! A real sshd, and servers that lie, break off, flood and stall.

use std::time::Duration;

use proptest::prelude::*;
use ring::agreement::{self, EphemeralPrivateKey, UnparsedPublicKey, X25519};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use tokio::io::{AsyncReadExt, DuplexStream, duplex};
use tokio::net::TcpStream;

use super::*;
use crate::keys::KeyType;
use crate::sshd::testbed::{self, Sshd};

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), work).await.unwrap() })
}

fn ask(sshd: &Sshd, algorithm: &str) -> Result<Served, HandshakeError> {
    block_on(async { served(TcpStream::connect(sshd.address).await.unwrap(), algorithm).await })
}

const ALGORITHMS: [(KeyType, &str); 3] = [
    (KeyType::Ed25519, "ssh-ed25519"),
    (KeyType::Ecdsa, "ecdsa-sha2-nistp256"),
    (KeyType::Rsa, "rsa-sha2-512"),
];

#[test]
fn a_real_sshd_proves_the_keys_that_were_made() {
    for kex in ["", "KexAlgorithms ecdh-sha2-nistp256\nCiphers aes256-ctr\nMACs hmac-sha2-256\n"] {
        let (sshd, keys) = Sshd::with(&ALGORITHMS.map(|(kind, _)| kind), kex);
        for (key, (_, algorithm)) in keys.iter().zip(ALGORITHMS) {
            let served = ask(&sshd, algorithm).unwrap_or_else(|error| panic!("{error}: {}", sshd.log()));
            assert_eq!(served.key.key_data(), key.public.key_data());
            assert!(served.is_proved && served.version.starts_with("SSH-2.0-OpenSSH"));
        }
        assert!(sshd.has_logged("11: host key seen", 3), "sshd was told why: {}", sshd.log());
    }
}

#[test]
fn other_curves_of_kept_keys_are_known() {
    for (bits, algorithm, is_proved) in
        [("384", "ecdsa-sha2-nistp384", true), ("521", "ecdsa-sha2-nistp521", false)]
    {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        let made = std::process::Command::new("ssh-keygen")
            .args(["-q", "-t", "ecdsa", "-b", bits, "-N", "", "-f"])
            .arg(&key)
            .status();
        assert!(made.unwrap().success());
        let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
        let sshd = Sshd::start(folder, &format!("HostKey {}\n", key.display()));
        let served = ask(&sshd, algorithm).unwrap();
        assert_eq!(served.key.key_data(), PublicKey::from_openssh(&public).unwrap().key_data());
        assert_eq!(served.is_proved, is_proved);
    }
}

#[test]
fn what_sshd_does_not_offer_is_told_from_a_failure() {
    let (sshd, _) = Sshd::with(&[KeyType::Ed25519], "");
    assert!(matches!(ask(&sshd, "rsa-sha2-512"), Err(HandshakeError::NotOffered(_))));
    let (sshd, _) = Sshd::with(&[KeyType::Ed25519], "KexAlgorithms diffie-hellman-group16-sha512\n");
    assert!(matches!(ask(&sshd, "ssh-ed25519"), Err(HandshakeError::NoCommonKex)));
}

/// OpenSSH before 9.8 reads its keys for every connection: nothing needs to be reloaded. Later ones do not.
#[test]
fn a_replaced_key_is_seen_as_it_is_served() {
    let (sshd, keys) = Sshd::with(&[KeyType::Ed25519], "");
    let fresh = crate::keys::make(KeyType::Ed25519).unwrap();
    testbed::put(&testbed::key_path(sshd.folder.path(), KeyType::Ed25519), fresh.private.as_bytes());
    let served = ask(&sshd, "ssh-ed25519").unwrap();
    let release = served.version.strip_prefix("SSH-2.0-OpenSSH_").unwrap();
    let (major, rest) = release.split_once('.').unwrap();
    let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let reads_per_connection = (major.parse::<u32>().unwrap(), minor.parse::<u32>().unwrap()) < (9, 8);
    let expected = if reads_per_connection { &fresh } else { &keys[0] };
    assert_eq!(served.key.key_data(), expected.public.key_data(), "{}", served.version);
}

/// What a made-up server does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    None,
    /// Shows a key whose private half it does not have.
    ForeignKey,
    OtherAlgorithm,
    WrongHash,
    /// A public value of small order: the secret would be zero.
    ZeroPoint,
    GuessesWrong,
    Chatters,
}

/// An SSH server of a few lines; ends when the client has gone.
async fn lying_server(stream: DuplexStream, lie: Lie) {
    let mut packets = Packets::new(stream);
    packets.write_raw(b"hello\r\nSSH-2.0-made_up\r\n").await.unwrap();
    let its_version = packets.read_version().await.unwrap();
    let mut init = vec![KEXINIT];
    init.extend_from_slice(&[7; 16]);
    let kex = if lie == Lie::GuessesWrong { "sntrup,curve25519-sha256" } else { "curve25519-sha256" };
    for list in [kex, "ssh-ed25519", CIPHERS, CIPHERS, MACS, MACS, "none", "none", "", ""] {
        put_string(&mut init, list.as_bytes());
    }
    init.extend_from_slice(&[u8::from(lie == Lie::GuessesWrong), 0, 0, 0, 0]);
    packets.write(&init).await.unwrap();
    if lie == Lie::GuessesWrong {
        packets.write(&[31, 1, 2, 3]).await.unwrap();
    }
    let its_init = packets.read().await.unwrap();
    let message = packets.read().await.unwrap();
    let its_public = Reader::new(&message[1..]).string().unwrap();
    let random = SystemRandom::new();
    let private = EphemeralPrivateKey::generate(&X25519, &random).unwrap();
    let public = private.compute_public_key().unwrap().as_ref().to_vec();
    let own = Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap();
    let shown =
        if lie == Lie::ForeignKey { Ed25519KeyPair::from_seed_unchecked(&[2; 32]).unwrap() } else { own };
    let own = Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap();
    let mut host_key = Vec::new();
    put_string(&mut host_key, b"ssh-ed25519");
    put_string(&mut host_key, shown.public_key().as_ref());
    let mut hashed = Vec::new();
    for part in [its_version.as_bytes(), b"SSH-2.0-made_up", &its_init, &init, &host_key, its_public, &public]
    {
        put_string(&mut hashed, part);
    }
    agreement::agree_ephemeral(private, &UnparsedPublicKey::new(&X25519, its_public), |secret| {
        put_unsigned(&mut hashed, secret);
    })
    .unwrap();
    if lie == Lie::WrongHash {
        hashed.push(0);
    }
    let mut signature = Vec::new();
    put_string(&mut signature, if lie == Lie::OtherAlgorithm { b"ssh-rsa" } else { b"ssh-ed25519" });
    put_string(&mut signature, own.sign(digest(&SHA256, &hashed).as_ref()).as_ref());
    let mut reply = vec![ECDH_REPLY];
    put_string(&mut reply, &host_key);
    put_string(&mut reply, if lie == Lie::ZeroPoint { &[0; 32] } else { &public });
    put_string(&mut reply, &signature);
    for _ in 0..if lie == Lie::Chatters { 1000 } else { 2 } {
        let _ = packets.write(&[IGNORE, 0, 0, 0, 0]).await;
    }
    let _ = packets.write(&reply).await;
    let _ = packets.stream.read_to_end(&mut Vec::new()).await;
}

fn against(lie: Lie) -> Result<Served, HandshakeError> {
    block_on(async {
        let (ours, its) = duplex(1 << 16);
        tokio::join!(served(ours, "ssh-ed25519"), lying_server(its, lie)).0
    })
}

#[test]
fn a_server_that_lies_is_not_believed() {
    for honest in [Lie::None, Lie::GuessesWrong] {
        let served = against(honest).unwrap();
        assert!(served.is_proved && served.version == "SSH-2.0-made_up");
    }
    for (lie, expected) in [
        (Lie::ForeignKey, "does not hold the private half of the ssh-ed25519 key"),
        (Lie::WrongHash, "does not hold the private half"),
        (Lie::OtherAlgorithm, "signature is of another algorithm"),
        (Lie::ZeroPoint, "public value is no point"),
        (Lie::Chatters, "messages without meaning"),
    ] {
        let error = against(lie).unwrap_err().to_string();
        assert!(error.contains(expected), "{lie:?}: {error}");
    }
}

/// A server that sends these bytes and then closes.
fn against_bytes(bytes: Vec<u8>) -> Result<Served, HandshakeError> {
    block_on(async {
        let (ours, mut its) = duplex(1 << 16);
        let send = async {
            let _ = its.write_all(&bytes).await;
            let _ = its.shutdown().await;
            let _ = its.read_to_end(&mut Vec::new()).await;
        };
        tokio::join!(served(ours, "ssh-ed25519"), send).0
    })
}

#[test]
fn broken_servers_are_told_apart() {
    let after = |bytes: &[u8]| [b"SSH-2.0-x\r\n", bytes].concat();
    for (bytes, expected) in [
        (Vec::new(), "closed the connection"),
        // What OpenSSH 9.8 says to a source that it punishes.
        (b"Not allowed at this time\r\n".to_vec(), "it said `Not allowed at this time`"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "it said `HTTP/1.1 400 Bad Request`"),
        (b"SSH-1.5-old\n".to_vec(), "does not speak SSH"),
        (b"SSH-2.0-\xff\n".to_vec(), "does not speak SSH"),
        (vec![b'x'; 10_000], "does not speak SSH"),
        (after(b""), "closed the connection"),
        (after(&[0xff; 40]), "impossible length"),
        (after(&[0, 0, 0, 1, 0]), "impossible length"),
        (after(&[0, 0, 0, 12, 11, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), "padding only"),
        (after(&[0, 0, 0, 12, 10, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), "KEXINIT is torn"),
        (after(&[0, 0, 0, 12, 10, 50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), "another message"),
        (after(&[0, 0, 0, 12, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2, b'n', b'o']), "it said `no`"),
    ] {
        let error = against_bytes(bytes.clone()).unwrap_err().to_string();
        assert!(error.contains(expected), "{bytes:?}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_of_a_server_make_it_panic_or_believe(bytes: Vec<u8>, greets: bool) {
        let greeting = if greets { &b"SSH-2.0-x\r\n"[..] } else { b"" };
        prop_assert!(against_bytes([greeting, &bytes].concat()).is_err());
    }

    #[test]
    fn no_payloads_of_a_server_make_it_panic_or_believe(
        payloads in proptest::collection::vec((0u8..40, proptest::collection::vec(any::<u8>(), 0..80)), 0..12)
    ) {
        let bytes = block_on(async {
            let (sender, mut receiver) = duplex(1 << 20);
            let mut packets = Packets::new(sender);
            for (number, payload) in &payloads {
                packets.write(&[&[*number], &payload[..]].concat()).await.unwrap();
            }
            drop(packets);
            let mut bytes = b"SSH-2.0-x\r\n".to_vec();
            receiver.read_to_end(&mut bytes).await.unwrap();
            bytes
        });
        prop_assert!(against_bytes(bytes).is_err());
    }

    #[test]
    fn a_packet_comes_back_as_it_was_sent(payload in proptest::collection::vec(any::<u8>(), 1..300)) {
        let read = block_on(async {
            let (sender, receiver) = duplex(1 << 16);
            Packets::new(sender).write(&payload).await.unwrap();
            Packets::new(receiver).read().await.unwrap()
        });
        prop_assert_eq!(read, payload);
    }
}
