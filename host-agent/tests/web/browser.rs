//! What a browser does, without a script: follows links, keeps a cookie, sends forms.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::client::{Answer, connect};
use crate::html;

pub(crate) struct Browser {
    address: SocketAddr,
    authority: String,
    /// `name=value`, once there is one.
    pub(crate) cookie: Option<String>,
}

/// A request beside method and path.
#[derive(Default)]
pub(crate) struct With<'a> {
    /// Whole lines, each with its end.
    pub(crate) headers: &'a str,
    pub(crate) form: &'a [(&'a str, &'a str)],
}

impl Browser {
    pub(crate) fn new(address: SocketAddr, authority: String) -> Self {
        Self { address, authority, cookie: None }
    }

    /// A page, which is as all pages are to be.
    pub(crate) async fn page(&self, path: &str) -> String {
        let answer = self.send("GET", path, With::default()).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        html::hold(path, &answer);
        answer.body
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, With::default()).await
    }

    /// Sends a form as a page of ours would.
    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.send("POST", path, With { headers: "Sec-Fetch-Site: same-origin\r\nOrigin: null\r\n", form })
            .await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, with: With<'_>) -> Answer {
        let mut stream = self.begin(method, path, with).await;
        let mut bytes = Vec::new();
        let ended = stream.read_to_end(&mut bytes).await;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path}: {ended:?} {text}"));
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
        let answer = Answer { status, head: head.to_owned(), body: body.to_owned() };
        if answer.head.contains("text/html") {
            html::hold(path, &answer);
        }
        answer
    }

    /// Sends a request whose answer is read by the caller.
    pub(crate) async fn begin(&self, method: &str, path: &str, with: With<'_>) -> TlsStream<TcpStream> {
        let pairs: Vec<String> =
            with.form.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        let (body, port) = (pairs.join("&"), self.address.port());
        let cookie = self.cookie.as_ref().map(|cookie| format!("Cookie: {cookie}\r\n")).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n{cookie}{}\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            with.headers,
            body.len()
        );
        let mut stream = connect(self.address, &self.authority).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// Signs in with a token, and keeps the cookie.
    pub(crate) async fn sign_in(&mut self, token: &str) {
        let answer = self.post("/ui/sign-in", &[("token", token)]).await;
        assert_eq!(answer.status, 303, "{answer:?}");
        self.keep(&answer);
    }

    pub(crate) fn keep(&mut self, answer: &Answer) {
        self.cookie = Some(header(answer, "set-cookie").split(';').next().unwrap().to_owned());
    }

    /// The token of this session's forms.
    pub(crate) async fn csrf(&self) -> String {
        let page = self.page("/ui/jobs").await;
        between(&page, "name=\"csrf\" value=\"", "\"").to_owned()
    }
}

#[track_caller]
pub(crate) fn header(answer: &Answer, name: &str) -> String {
    let lines = answer.head.lines().filter_map(|line| line.split_once(": "));
    let found =
        lines.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next();
    found.unwrap_or_else(|| panic!("there is no {name}: {}", answer.head))
}

#[track_caller]
pub(crate) fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("there is no `{before}` in {text}"));
    rest.split_once(after).map_or(rest, |(found, _)| found)
}

fn encoded(text: &str) -> String {
    let byte = |byte: u8| {
        if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(byte).collect()
}
