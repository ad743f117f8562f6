//! One POST of the report over any stream, and what the answer means.

use http_body_util::Full;
use hyper::Request;

use firstlight_shared::paths::REPORT_ENDPOINT;
use firstlight_shared::wire::Refusal;

use super::{Answer, AnyError, MAX_ANSWER, Message, acknowledgement};
use crate::exchange;

pub(super) type Stream = Box<dyn exchange::Stream>;

/// # Errors
/// The connection broke, or the answer is longer than any answer is.
pub(super) async fn post(stream: Stream, host: &str, message: &Message) -> Result<Answer, AnyError> {
    let request = Request::post(REPORT_ENDPOINT)
        .header("host", host)
        .header("content-type", "application/json")
        .header("connection", "close")
        .body(Full::new(message.body.clone()))?;
    let answer = exchange::send(stream, request).await?;
    let status = answer.status;
    let (body, true) = answer.bytes(MAX_ANSWER).await? else { return Err("the answer is too long".into()) };
    Ok(judge(status, &body, &message.sha256))
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
