//! `incus:`: the hypervisor learns that this instance is ready. It acknowledges no report; the host pulls that as a file.

use super::{Answer, AnyError, Message};
use crate::dev_incus;

/// A report that is not ready says nothing here: Incus knows no other word.
///
/// # Errors
/// devIncus does not answer.
pub(super) async fn tell(socket: &str, message: &Message) -> Result<Answer, AnyError> {
    if !message.ready {
        return Ok(Answer::Told("the report is not ready: nothing was said"));
    }
    let socket = socket.to_owned();
    tokio::task::spawn_blocking(move || dev_incus::set_ready(&socket)).await??;
    Ok(Answer::Told("told that this instance is ready"))
}
