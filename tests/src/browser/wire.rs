//! One request to the driver: a connection each, JSON both ways.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// A page may take its time on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Gives `value` of the answer.
///
/// # Errors
/// The driver does not answer, or says what is wrong.
pub(super) fn ask(port: u16, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("chromedriver is not there")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let body = body.map(Value::to_string).unwrap_or_default();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let bytes = answer(&mut stream).with_context(|| format!("{method} {path} got no answer"))?;
    let document: Value = serde_json::from_slice(&bytes)
        .with_context(|| format!("{method} {path}: {}", String::from_utf8_lossy(&bytes)))?;
    let value = document.get("value").cloned().unwrap_or_default();
    if let Some(error) = value.get("error").and_then(Value::as_str) {
        let message = value.get("message").and_then(Value::as_str).unwrap_or_default();
        bail!("{method} {path}: {error}: {}", message.lines().next().unwrap_or_default());
    }
    Ok(value)
}

/// The body, as long as the head says.
fn answer(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut part = vec![0; 64 * 1024];
    loop {
        let count = stream.read(&mut part)?;
        bytes.extend_from_slice(&part[..count]);
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Response::new(&mut headers);
        if let httparse::Status::Complete(start) = head.parse(&bytes)? {
            let length =
                head.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
            let length =
                length.and_then(|header| std::str::from_utf8(header.value).ok()?.trim().parse().ok());
            let length: usize = length.context("its head says no length")?;
            if bytes.len() >= start + length {
                return Ok(bytes[start..start + length].to_vec());
            }
        }
        if count == 0 {
            bail!("it was cut off after {} bytes", bytes.len());
        }
    }
}
