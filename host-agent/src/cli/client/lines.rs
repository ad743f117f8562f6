//! Lines of JSON that come in one after the other.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

/// The companion sends at least an empty line in this time, if it lives.
const SILENCE: Duration = Duration::from_secs(60);
/// Bytes of one line beyond which nobody can mean it.
const LINE_LIMIT: usize = 16 << 20;

/// The body of an answer that goes on.
#[derive(Debug)]
pub(crate) struct Lines {
    body: Incoming,
    buffer: Vec<u8>,
    /// How much of the buffer has been searched for a line's end.
    searched: usize,
}

/// Why no more lines come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The companion ended the answer.
    Whole,
    /// The connection broke, or nothing came for too long.
    Cut,
}

impl Lines {
    pub(super) fn new(body: Incoming) -> Self {
        Self { body, buffer: Vec::new(), searched: 0 }
    }

    /// The next line; signs of life are left out.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Result<T, Ending> {
        loop {
            match self.take_line() {
                Some(line) if line.iter().all(u8::is_ascii_whitespace) => {}
                Some(line) => return serde_json::from_slice(&line).map_err(|_| Ending::Cut),
                None => self.read().await?,
            }
        }
    }

    fn take_line(&mut self) -> Option<Vec<u8>> {
        let found = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n');
        match found {
            Some(end) => {
                let end = self.searched + end;
                self.searched = 0;
                Some(self.buffer.drain(..=end).collect())
            }
            None => {
                self.searched = self.buffer.len();
                None
            }
        }
    }

    async fn read(&mut self) -> Result<(), Ending> {
        let frame = match tokio::time::timeout(SILENCE, self.body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(None) => return Err(Ending::Whole),
            Ok(Some(Err(_))) | Err(_) => return Err(Ending::Cut),
        };
        self.buffer.extend_from_slice(frame.data_ref().map(AsRef::as_ref).unwrap_or_default());
        if self.buffer.len() > LINE_LIMIT { Err(Ending::Cut) } else { Ok(()) }
    }
}
