//! Changes as they happen.

use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::browser::With;
use crate::house::{House, OPERATOR, READER};

/// Reads until the text has these words, or the stream ends; everything so far.
async fn until(stream: &mut TlsStream<TcpStream>, text: &mut String, words: &str) -> bool {
    let read = async {
        let mut bytes = [0; 4096];
        while !text.contains(words) {
            match stream.read(&mut bytes).await {
                Ok(0) | Err(_) => return false,
                Ok(count) => text.push_str(&String::from_utf8_lossy(&bytes[..count])),
            }
        }
        true
    };
    tokio::time::timeout(Duration::from_secs(30), read).await.expect("it does not come")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_open_page_hears_of_a_change_with_the_row_as_it_is_now() {
    let house = House::open().await;
    assert_eq!(house.browser().get("/ui/live").await.status, 401);
    let mut streams = Vec::new();
    for token in [READER, OPERATOR] {
        let browser = house.signed_in(token).await;
        let mut stream = browser.begin("GET", "/ui/live", With::default()).await;
        let mut text = String::new();
        assert!(until(&mut stream, &mut text, "retry: 2000").await);
        assert!(text.contains("200 OK") && text.contains("text/event-stream"), "{text}");
        streams.push((browser, stream, text));
    }
    house.up(&["web-01"], "").await;
    for (_, stream, text) in &mut streams {
        assert!(until(stream, text, "data-label=\\\"Ready after\\\"").await);
        assert!(until(stream, text, "1 passed").await, "{text}");
        assert!(until(stream, text, "count-ready").await, "{text}");
        assert!(
            text.contains("event: change")
                && text.contains("\"guest-web-01\":\"<tr")
                && text.contains("\"job-"),
            "{text}"
        );
    }
    // Signed out, a page hears nothing more than the next sign of life.
    let (reader, mut stream, mut text) = streams.swap_remove(0);
    let csrf = reader.csrf().await;
    assert_eq!(reader.post("/ui/sign-out", &[("csrf", &csrf)]).await.status, 303);
    let began = Instant::now();
    assert!(!until(&mut stream, &mut text, "no such words").await, "the stream ends");
    assert!(began.elapsed() < Duration::from_secs(25));
    // A guest that is gone loses its row; the companion's end ends the stream.
    let (_, mut stream, mut text) = streams.remove(0);
    house.rig.run(&["destroy", "web-01"]).await.ends_with(0);
    assert!(until(&mut stream, &mut text, "\"guest-web-01\":null").await, "{text}");
    house.close().await;
    assert!(!until(&mut stream, &mut text, "no such words").await);
}
