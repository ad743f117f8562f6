//! `virtio-port:NAME`: one JSON line out (the envelope), one JSON line back (an Ack or a Refusal), no network at all.
//!
//! A port is a byte stream that outlives both its users, so each side begins afresh: what stands in it from before is
//! read and forgotten, and an empty line goes first, which ends the half line of a writer that died. A reader skips
//! empty lines and lines that it does not understand. A refusal may name the report it is for (`report_sha256`, as an
//! acknowledgement always does); one for another report is skipped. Kernel source: drivers/char/virtio_console.c.

use std::fs::File;
use std::io::{self, Read, Write};
use std::time::Duration;

use firstlight_shared::wire::{Ack, Refusal};
use serde::Deserialize;

use super::{Answer, AnyError, MAX_ANSWER, Message};
use crate::sys::{open_port, port_device};

/// Between two looks: a port is not always one that epoll takes.
const PAUSE: Duration = Duration::from_millis(20);
/// What stood in the port before us is at most its queue.
const MOST_OLD_BYTES: usize = 1 << 20;

#[derive(Debug, thiserror::Error)]
enum PortError {
    #[error("the port {0} cannot be opened")]
    Open(String, #[source] io::Error),
    #[error("this machine has no such port")]
    Absent,
    #[error("nobody reads the port at the host's side")]
    Nobody,
    #[error("the port is full of what is no answer")]
    Garbage,
}

#[derive(Debug, Deserialize)]
struct PortRefusal {
    report_sha256: Option<String>,
    #[serde(flatten)]
    refusal: Refusal,
}

/// # Errors
/// No such port, in other hands, or nobody at the other end.
pub(super) async fn exchange(name: &str, message: &Message) -> Result<Answer, AnyError> {
    let path = port_device(name).ok_or(PortError::Absent)?;
    let port = open_port(&path).map_err(|error| PortError::Open(path, error))?;
    converse(&port, message).await
}

/// The caller limits the time.
async fn converse(port: &File, message: &Message) -> Result<Answer, AnyError> {
    forget_old_bytes(port)?;
    let line = [b"\n", &*message.body, b"\n"].concat();
    send(port, &line).await?;
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    let mut skipped = 0;
    loop {
        match read(port, &mut part)? {
            Got::Nothing => tokio::time::sleep(PAUSE).await,
            Got::End => return Err(PortError::Nobody.into()),
            Got::Bytes(count) => bytes.extend_from_slice(&part[..count]),
        }
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = bytes.drain(..=end).collect();
            if let Some(answer) = understand(&line, &message.sha256) {
                return Ok(answer);
            }
            skipped += line.len();
        }
        if skipped + bytes.len() > MAX_ANSWER {
            return Err(PortError::Garbage.into());
        }
    }
}

/// None for a line that is not for us.
pub(crate) fn understand(line: &[u8], sha256: &str) -> Option<Answer> {
    if let Ok(ack) = serde_json::from_slice::<Ack>(line) {
        return (ack.report_sha256 == sha256).then_some(Answer::Acknowledged(ack));
    }
    let refused = serde_json::from_slice::<PortRefusal>(line).ok()?;
    let ours = refused.report_sha256.is_none_or(|named| named == sha256);
    ours.then_some(Answer::Refused(refused.refusal))
}

enum Got {
    Bytes(usize),
    /// Not yet.
    Nothing,
    /// The host's side is not open: the kernel then reads as if at an end.
    End,
}

fn read(mut port: &File, part: &mut [u8]) -> io::Result<Got> {
    match port.read(part) {
        Ok(0) => Ok(Got::End),
        Ok(count) => Ok(Got::Bytes(count)),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
            Ok(Got::Nothing)
        }
        Err(error) => Err(error),
    }
}

fn forget_old_bytes(port: &File) -> Result<(), AnyError> {
    let mut part = [0; 4096];
    let mut old = 0;
    while let Got::Bytes(count) = read(port, &mut part)? {
        old += count;
        if old > MOST_OLD_BYTES {
            return Err(PortError::Garbage.into());
        }
    }
    Ok(())
}

async fn send(mut port: &File, mut line: &[u8]) -> Result<(), AnyError> {
    while !line.is_empty() {
        match port.write(line) {
            Ok(count) => line = &line[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // The kernel takes nothing while the host's side is closed, and a read then tells so. What is read
                // here instead is no answer yet: the line is not out.
                if let Got::End = read(port, &mut [0; 4096])? {
                    return Err(PortError::Nobody.into());
                }
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
