//! A receiver of webhooks and traces: notes what it is sent, and answers as it is told to.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What is answered to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Status(u16),
    /// To another place.
    Redirect,
    /// Nothing, for ever.
    Hang,
    /// The connection ends before the answer.
    Die,
    /// An error without an end.
    Endless,
}

#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.unwrap_or_else(|| panic!("{name} is not in {:?}", self.headers)).1.as_str()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    /// Answers these, one for each request, then 204.
    pub(crate) async fn start(answers: &[Answer]) -> Self {
        Self::start_as(None, answers).await
    }

    /// The same as a server of TLS.
    pub(crate) async fn start_as(tls: Option<TlsAcceptor>, answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let answers = Arc::new(Mutex::new(answers.iter().cloned().collect::<VecDeque<_>>()));
        let (notes, orders) = (Arc::clone(&received), Arc::clone(&answers));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (notes, orders, tls) = (Arc::clone(&notes), Arc::clone(&orders), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, address, notes, orders).await,
                        // Whoever does not take our certificate says nothing to note.
                        Some(tls) => serve(tls.accept(stream).await.ok()?, address, notes, orders).await,
                    }
                });
            }
        });
        Self { address, received, answers, task }
    }

    pub(crate) fn answer(&self, answers: &[Answer]) {
        self.answers.lock().unwrap().extend(answers.iter().cloned());
    }

    pub(crate) fn all(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// Waits until every order was carried out, or begun.
    pub(crate) async fn obeyed(&self) {
        let deadline = Instant::now() + Duration::from_secs(40);
        while !self.answers.lock().unwrap().is_empty() {
            assert!(Instant::now() < deadline, "nothing comes");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until so many have come.
    pub(crate) async fn until(&self, count: usize) -> Vec<Received> {
        let deadline = Instant::now() + Duration::from_secs(40);
        loop {
            let all = self.all();
            if all.len() >= count {
                return all;
            }
            assert!(Instant::now() < deadline, "{count} are wanted: {all:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    assert!(line.starts_with("POST "), "{line}");
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length")?.1.parse().ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let id = |headers: &[(String, String)]| headers.iter().find(|(name, _)| name == "webhook-id").cloned();
    let again = {
        let mut received = received.lock().unwrap();
        let own = id(&headers);
        let again = own.is_some() && received.iter().any(|one| id(&one.headers) == own);
        received.push(Received { path, headers, body });
        again
    };
    // What comes again is taken: orders are for what is new.
    let answer = if again { None } else { answers.lock().unwrap().pop_front() };
    let answer = answer.unwrap_or(Answer::Status(204));
    let head = |status: u16, more: &str| format!("HTTP/1.1 {status} x\r\n{more}\r\n");
    match answer {
        Answer::Status(204) => stream.write_all(head(204, "").as_bytes()).await.ok()?,
        Answer::Status(status) => {
            let text = head(status, "Content-Length: 9\r\n") + "no \u{1b}[31m!";
            stream.write_all(text.as_bytes()).await.ok()?;
        }
        Answer::Redirect => {
            let more = format!("Location: http://{address}/elsewhere\r\nContent-Length: 0\r\n");
            stream.write_all(head(307, &more).as_bytes()).await.ok()?;
        }
        Answer::Hang => std::future::pending::<()>().await,
        Answer::Die => {}
        Answer::Endless => {
            stream.write_all(head(500, "Content-Length: 99999999999\r\n").as_bytes()).await.ok()?;
            while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
        }
    }
    stream.flush().await.ok()
}
