//! HTTP/1.1 with whoever answers: one request on one connection. One stream type for all, so that the static binary
//! holds hyper's client once.

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The head of an answer, and the connection on which its body comes.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    body: Incoming,
    connection: Connection,
}

/// A connection ends with whoever waits for its answer: a look that is cut off leaves none behind.
#[derive(Debug)]
struct Connection(JoinHandle<hyper::Result<()>>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// # Errors
/// The other side speaks no HTTP, or hangs up.
pub(crate) async fn send(stream: Box<dyn Stream>, request: Request<Full<Bytes>>) -> hyper::Result<Answer> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = Connection(tokio::spawn(connection));
    let answer: Response<Incoming> = sender.send_request(request).await?;
    let status = answer.status().as_u16();
    Ok(Answer { status, body: answer.into_body(), connection })
}

impl Answer {
    /// The body, and whether it is whole: it is read until it is longer than `limit`.
    ///
    /// # Errors
    /// The other side hangs up.
    pub(crate) async fn bytes(mut self, limit: usize) -> hyper::Result<(Vec<u8>, bool)> {
        let mut bytes = Vec::new();
        while let Some(frame) = self.body.frame().await {
            if let Some(data) = frame?.data_ref() {
                bytes.extend_from_slice(data);
            }
            if bytes.len() > limit {
                return Ok((bytes, false));
            }
        }
        drop(self.connection);
        Ok((bytes, true))
    }
}
