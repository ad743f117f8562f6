//! A machine's QEMU guest agent, asked as a hypervisor asks it: JSON, a line each, on a port of its own.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::port::Port;

/// Bytes of a file, at once.
const PART: u64 = 32 << 10;

/// The host's end.
#[derive(Debug)]
pub struct Agent {
    port: Port,
    /// Of the last question that has an answer of its own.
    number: u64,
}

impl Agent {
    pub(super) fn of(port: Port) -> Self {
        Self { port, number: 0 }
    }

    /// Whether it answers in time; then nothing of an earlier question is still to come.
    ///
    /// # Errors
    /// The machine has gone.
    pub fn answers(&mut self, limit: Duration) -> Result<bool> {
        self.number += 1;
        self.say(&json!({ "execute": "guest-sync", "arguments": { "id": self.number } }))?;
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            let Some(line) = self.port.poll()? else { continue };
            let answer: Value = serde_json::from_str(&line).unwrap_or_default();
            if answer["return"] == self.number {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// # Errors
    /// It says why not, or nothing in time.
    pub fn ask(&mut self, question: &str, arguments: &Value) -> Result<Value> {
        self.say(&json!({ "execute": question, "arguments": arguments }))?;
        let line = self.port.line(Instant::now() + Duration::from_secs(30)).context(question.to_owned())?;
        let answer: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
        match answer.get("return") {
            Some(told) => Ok(told.clone()),
            None => bail!("{question}: {}", answer["error"]["desc"].as_str().unwrap_or(&line)),
        }
    }

    /// A file byte for byte. None: there is no such file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read_file(&mut self, path: &str) -> Result<Option<Vec<u8>>> {
        let handle = match self.ask("guest-file-open", &json!({ "path": path, "mode": "r" })) {
            Err(error) if error.to_string().contains("No such file") => return Ok(None),
            opened => opened?,
        };
        let mut content = Vec::new();
        loop {
            let part = self.ask("guest-file-read", &json!({ "handle": handle, "count": PART }))?;
            content.extend(STANDARD.decode(part["buf-b64"].as_str().unwrap_or_default())?);
            if part["eof"] == true {
                break;
            }
        }
        self.ask("guest-file-close", &json!({ "handle": handle }))?;
        Ok(Some(content))
    }

    fn say(&mut self, words: &Value) -> Result<()> {
        Ok(self.port.stream.write_all(format!("{words}\n").as_bytes())?)
    }
}
