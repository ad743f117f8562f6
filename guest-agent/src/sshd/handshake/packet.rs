//! Version line and plain packets of SSH's transport. Source: RFC 4253, 4.2 and 6.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::HandshakeError;

/// A server may send lines before its version: so much is read in all.
const MAX_GREETING: usize = 4096;
/// Source: RFC 4253, 6.1. A KEXINIT of OpenSSH has about 1,200 bytes.
const MAX_PACKET: usize = 35_000;
/// Before there are ciphers.
const BLOCK: usize = 8;

#[derive(Debug)]
pub(super) struct Packets<S> {
    pub(super) stream: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Packets<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream }
    }

    pub(super) async fn write_raw(&mut self, bytes: &[u8]) -> Result<(), HandshakeError> {
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }

    /// The version line without its end. Byte by byte, since what follows it is no text.
    pub(super) async fn read_version(&mut self) -> Result<String, HandshakeError> {
        let mut said = String::new();
        let (mut line, mut total) = (Vec::new(), 0);
        loop {
            let byte = match self.stream.read_u8().await {
                Ok(byte) => byte,
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    said.push_str(&String::from_utf8_lossy(&line));
                    return Err(HandshakeError::Closed(said.trim().to_owned()));
                }
                Err(error) => return Err(error.into()),
            };
            total += 1;
            if total > MAX_GREETING {
                return Err(HandshakeError::NotSsh(said));
            }
            if byte != b'\n' {
                line.push(byte);
                continue;
            }
            let text = line.strip_suffix(b"\r").unwrap_or(&line);
            let is_text = std::str::from_utf8(text).is_ok();
            let text = String::from_utf8_lossy(text).into_owned();
            if !is_text && text.starts_with("SSH-") {
                return Err(HandshakeError::NotSsh(text));
            }
            if text.starts_with("SSH-2.0-") || text.starts_with("SSH-1.99-") {
                return Ok(text);
            }
            if text.starts_with("SSH-") {
                return Err(HandshakeError::NotSsh(text));
            }
            if said.is_empty() {
                said = text;
            }
            line.clear();
        }
    }

    pub(super) async fn write(&mut self, payload: &[u8]) -> Result<(), HandshakeError> {
        // Length, padding length, payload and padding fill whole blocks; at least four bytes of padding.
        let short = BLOCK - (5 + payload.len()) % BLOCK;
        let padding = if short < 4 { short + BLOCK } else { short };
        let length = 1 + payload.len() + padding;
        let mut packet = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes().to_vec();
        packet.push(u8::try_from(padding).unwrap_or(u8::MAX));
        packet.extend_from_slice(payload);
        packet.resize(packet.len() + padding, 0);
        self.write_raw(&packet).await
    }

    /// The payload of the next packet.
    pub(super) async fn read(&mut self) -> Result<Vec<u8>, HandshakeError> {
        let ended = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => HandshakeError::Closed(String::new()),
            _ => error.into(),
        };
        let length = self.stream.read_u32().await.map_err(ended)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if !(2..=MAX_PACKET).contains(&length) {
            return Err(HandshakeError::Protocol("a packet of impossible length"));
        }
        let mut packet = vec![0; length];
        self.stream.read_exact(&mut packet).await.map_err(ended)?;
        let padding = usize::from(packet[0]);
        let end = length.checked_sub(padding).filter(|end| *end > 1);
        let end = end.ok_or(HandshakeError::Protocol("a packet of padding only"))?;
        Ok(packet[1..end].to_vec())
    }
}
