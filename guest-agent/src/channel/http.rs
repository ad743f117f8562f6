//! One POST of the report over any stream, and what the answer means.

use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use firstlight_shared::paths::REPORT_ENDPOINT;
use firstlight_shared::wire::Refusal;

use super::{Answer, AnyError, MAX_ANSWER, Message, acknowledgement};

pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}
/// Boxed: one HTTP client in the binary, not one per kind of stream.
pub(super) type Stream = Box<dyn Wire>;

/// # Errors
/// The connection broke, or the answer is longer than any answer is.
pub(super) async fn exchange(stream: Stream, host: &str, message: &Message) -> Result<Answer, AnyError> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::post(REPORT_ENDPOINT)
        .header("host", host)
        .header("content-type", "application/json")
        .header("connection", "close")
        .body(Full::new(message.body.clone()))?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await?.to_bytes();
    connection.abort();
    Ok(judge(status, &body, &message.sha256))
}

fn judge(status: StatusCode, body: &[u8], sha256: &str) -> Answer {
    if status == StatusCode::OK {
        return acknowledgement(body, sha256);
    }
    match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) if status.is_client_error() => Answer::Refused(refusal),
        _ => Answer::Retry(format!("the host answered with status {}", status.as_u16())),
    }
}
