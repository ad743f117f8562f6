//! The websocket: opened, read, and opened again.

use std::sync::Arc;
use std::time::Duration;

use firstlight_shared::backoff::Backoff;
use futures_util::StreamExt as _;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::event::read;
use super::hub::Board;
use crate::backend::incus::client::call::{Call, Method};
use crate::backend::incus::client::link::{Remote, Stream};

const AGAIN: Backoff = Backoff { first: Duration::from_millis(100), max: Duration::from_secs(5) };
/// A socket that was open for so long was a good one.
const GOOD: Duration = Duration::from_secs(10);
/// The server pings every ten seconds.
const SILENCE: Duration = Duration::from_secs(35);
/// Of one event, in bytes.
const LARGEST: usize = 4 * 1024 * 1024;

/// Never ends.
pub(super) async fn listen(remote: Arc<Remote>, project: String, board: Arc<Board>) {
    let mut attempt = 1;
    loop {
        match open(&remote, &project).await {
            Ok(socket) => {
                tracing::debug!(remote = remote.name(), project, "listening to incus");
                let since = Instant::now();
                board.set_open(true);
                let why = hear(socket, &board).await;
                board.set_open(false);
                tracing::debug!(remote = remote.name(), project, "incus tells nothing any more: {why}");
                attempt = if since.elapsed() > GOOD { 1 } else { attempt + 1 };
            }
            Err(why) => {
                if attempt == 1 {
                    tracing::warn!(
                        remote = remote.name(),
                        project,
                        "the events of incus cannot be listened to: {why}"
                    );
                }
                attempt += 1;
            }
        }
        tokio::time::sleep(AGAIN.delay(attempt, rand::random())).await;
    }
}

pub(in crate::backend::incus::client) async fn open(
    remote: &Remote,
    project: &str,
) -> Result<WebSocketStream<Stream>, String> {
    let call = Call::new(Method::Get, "/1.0/events").with("type", "operation,lifecycle");
    let config = WebSocketConfig::default()
        .max_message_size(Some(LARGEST))
        .max_frame_size(Some(LARGEST))
        .read_buffer_size(16 * 1024);
    remote.websocket(&call.target(project, None), config).await
}

/// Until it ends; why it did.
async fn hear(mut socket: WebSocketStream<Stream>, board: &Board) -> String {
    loop {
        match tokio::time::timeout(SILENCE, socket.next()).await {
            Err(_) => return format!("silent for {SILENCE:?}"),
            Ok(None) => return "closed".to_owned(),
            Ok(Some(Err(error))) => return error.to_string(),
            Ok(Some(Ok(Message::Text(text)))) => {
                if let Some(told) = read(&text) {
                    board.put(told);
                }
            }
            // Pings are answered while the socket is read.
            Ok(Some(Ok(_))) => {}
        }
    }
}
