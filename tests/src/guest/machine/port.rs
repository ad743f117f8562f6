//! A virtio port, line by line.

use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

/// The host's end of a virtio port.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) stream: UnixStream,
    bytes: Vec<u8>,
}

impl Port {
    /// Reads that wait for longer than this find nothing.
    pub(super) fn of(stream: UnixStream) -> Result<Self> {
        stream.set_read_timeout(Some(Duration::from_millis(200)))?;
        Ok(Self { stream, bytes: Vec::new() })
    }

    pub(super) fn line(&mut self, deadline: Instant) -> Result<String> {
        loop {
            if let Some(line) = self.poll()? {
                return Ok(line);
            }
            ensure!(Instant::now() < deadline, "the guest said nothing in time");
        }
    }

    /// None: there is no whole line yet.
    pub(super) fn poll(&mut self) -> Result<Option<String>> {
        let mut part = [0; 4096];
        loop {
            if let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.bytes.drain(..=end).collect();
                return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
            }
            match self.stream.read(&mut part) {
                Ok(0) => bail!("the machine has gone"),
                Ok(count) => self.bytes.extend_from_slice(&part[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
