//! One POST of the report over any stream, and what the answer means.

use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;

use firstlight_shared::paths::REPORT_ENDPOINT;
use firstlight_shared::wire::Refusal;

use super::{Answer, AnyError, MAX_ANSWER, Message, acknowledgement};
use crate::exchange;

pub(super) type Stream = Box<dyn exchange::Stream>;

/// # Errors
/// The connection broke, or the answer is longer than any answer is.
pub(super) async fn post(stream: Stream, host: &str, message: &Message) -> Result<Answer, AnyError> {
    let (status, body) = ask(stream, host, REPORT_ENDPOINT, message.body.clone()).await?;
    Ok(judge(status, &body, &message.sha256))
}

/// # Errors
/// As [`post`].
pub(super) async fn ask(
    stream: Stream,
    host: &str,
    path: &str,
    body: impl Into<Bytes>,
) -> Result<(u16, Vec<u8>), AnyError> {
    let request = Request::post(path)
        .header("host", host)
        .header("content-type", "application/json")
        .header("connection", "close")
        .body(Full::new(body.into()))?;
    let answer = exchange::send(stream, request).await?;
    let status = answer.status;
    let (body, true) = answer.bytes(MAX_ANSWER).await? else { return Err("the answer is too long".into()) };
    Ok((status, body))
}

fn judge(status: u16, body: &[u8], sha256: &str) -> Answer {
    if status == 200 {
        return acknowledgement(body, sha256);
    }
    match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) if (400..500).contains(&status) => Answer::Refused(refusal),
        _ => Answer::Retry(format!("the host answered with status {status}")),
    }
}
