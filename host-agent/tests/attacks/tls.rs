//! Whoever speaks something else than TLS 1.3 with HTTP/1.1 behind it: plaintext, older versions, other protocols, data
//! before the handshake is over, handshakes that do not end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ClientConfig, ClientConnection, ProtocolVersion, version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::honest;
use crate::post::{anybody, anybody_over};
use crate::raw::{address, head, plain, status};
use crate::site::Site;

async fn shake_hands(
    site: &Site,
    config: impl Into<Arc<ClientConfig>>,
) -> std::io::Result<TlsStream<tokio::net::TcpStream>> {
    let stream = plain(site.reports, address(1)).await?;
    TlsConnector::from(config.into()).connect("companion".try_into().unwrap(), stream).await
}

/// Sends these bytes without TLS; what comes back, and how long it lasted.
async fn in_the_clear(site: &Site, bytes: &[u8]) -> (Vec<u8>, Duration) {
    let (began, mut answer) = (Instant::now(), Vec::new());
    let mut stream = plain(site.reports, address(2)).await.unwrap();
    let said = async {
        let _ = stream.write_all(bytes).await;
        let _ = stream.read_to_end(&mut answer).await;
    };
    tokio::time::timeout(Duration::from_secs(15), said).await.expect("it is ended in time");
    (answer, began.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_are_taken_over_tls_1_3_and_nothing_else() {
    let guests = honest::guests(1);
    let mut site = Site::start(&guests).await;

    let older = shake_hands(&site, anybody_over(&[&version::TLS12]).unwrap()).await;
    assert!(older.unwrap_err().to_string().contains("ProtocolVersion"));
    // Who has both is not talked down.
    let newer = shake_hands(&site, anybody_over(&[&version::TLS12, &version::TLS13]).unwrap()).await.unwrap();
    assert_eq!(newer.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_3));

    for (offered, taken) in [(&b"h2"[..], None), (b"smtp", None), (b"http/1.1", Some(&b"http/1.1"[..]))] {
        let mut config = anybody().unwrap();
        config.alpn_protocols = vec![offered.to_vec()];
        match shake_hands(&site, config).await {
            Ok(stream) => assert_eq!(stream.get_ref().1.alpn_protocol(), taken),
            Err(error) => {
                assert!(taken.is_none() && error.to_string().contains("NoApplicationProtocol"), "{error}")
            }
        }
    }

    let mut hello_of_ssl_2 = vec![0x80, 0x2e, 0x01, 0x00, 0x02];
    hello_of_ssl_2.resize(48, 0);
    for bytes in [
        head("Content-Length: 0\r\n").into_bytes(),
        b"SSH-2.0-OpenSSH_10.0\r\n".to_vec(),
        hello_of_ssl_2,
        vec![0x16; 100_000],
    ] {
        let (answer, _) = in_the_clear(&site, &bytes).await;
        // An alert at most.
        assert!(answer.len() < 16 && status(&String::from_utf8_lossy(&answer)) == 0, "{answer:?}");
    }
    let fared = site.beside("other protocols", tokio::task::JoinSet::new(), guests, Duration::ZERO).await;
    assert!(fared.longest < Duration::from_secs(5), "{fared:?}");
}

/// What is sent before the handshake is over could be sent again by anybody who saw it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_taken_before_the_handshake_is_over() {
    let guests = honest::guests(1);
    let mut site = Site::start(&guests).await;
    let mut config = anybody().unwrap();
    config.enable_early_data = true;
    let config = Arc::new(config);
    let mut stream = shake_hands(&site, Arc::clone(&config)).await.unwrap();
    // With the answer come the tickets for the next time.
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert_eq!(status(&answer), 404, "{answer}");
    let mut again = ClientConnection::new(config, "companion".try_into().unwrap()).unwrap();
    assert!(again.early_data().is_none(), "its tickets allow early data");
    let fared = site.beside("early data", tokio::task::JoinSet::new(), guests, Duration::ZERO).await;
    assert!(fared.longest < Duration::from_secs(5), "{fared:?}");
}

/// The first record of a handshake, and never its end; a record for each byte; a message of 16 MiB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_without_end_are_ended() {
    let guests = honest::guests(1);
    let mut site = Site::start(&guests).await;
    let record = |bytes: &[u8]| {
        let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        [&[0x16, 3, 1, length[0], length[1]][..], bytes].concat()
    };
    let begins = record(&[1, 0, 1, 0, 3, 3]);
    let large = [&[1, 0xff, 0xff, 0xff, 3, 3][..], &[0; 16_000]].concat();
    let mut much = record(&large);
    for _ in 0..500 {
        much.extend(record(&[0; 16_000]));
    }
    let mut little = Vec::new();
    for byte in [1, 0, 0xff, 0, 3, 3].into_iter().chain(std::iter::repeat_n(0, 100_000)) {
        little.extend(record(&[byte]));
    }
    let (one, two, three) =
        tokio::join!(in_the_clear(&site, &begins), in_the_clear(&site, &much), in_the_clear(&site, &little));
    for (answer, took) in [one, two, three] {
        assert!(answer.len() < 16 && took < Duration::from_secs(12), "{answer:?} after {took:?}");
    }
    let fared =
        site.beside("handshakes without end", tokio::task::JoinSet::new(), guests, Duration::ZERO).await;
    assert!(fared.longest < Duration::from_secs(5), "{fared:?}");
}
