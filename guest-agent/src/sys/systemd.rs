//! One question to PID 1 on its private socket, early in the boot, where D-Bus is not up: the wire by hand.
//!
//! zbus cannot read the answers: PID 1 names itself as sender where the specification wants a unique name (tried on
//! systemd 257). Source: the D-Bus specification; bus_on_connection() in systemd's src/core/dbus.c.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Machine, SysError};

const PRIVATE_SOCKET: &str = "/run/systemd/private";
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// Types of messages.
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;
/// Longer answers are none to this question.
const MAX_ANSWER: usize = 1 << 16;

impl Machine {
    /// Starts `reboot.target` as `systemctl reboot` does: in order, and so that nothing else starts any more.
    ///
    /// # Errors
    /// PID 1 cannot be asked, says no, or does not answer in time.
    pub(crate) fn reboot(&self) -> Result<(), SysError> {
        let failed = |error| SysError::new("ask for a reboot at", PRIVATE_SOCKET, error);
        self.root.fuse.pass().map_err(failed)?;
        start_unit(Path::new(PRIVATE_SOCKET), "reboot.target", "replace-irreversibly", TIME_LIMIT)
            .map_err(failed)
    }
}

fn start_unit(socket: &Path, unit: &str, mode: &str, limit: Duration) -> io::Result<()> {
    let deadline = Instant::now() + limit;
    let mut stream = UnixStream::connect(socket)?;
    stream.set_write_timeout(Some(limit))?;
    // As root, by the credentials of the socket. All at once, as sd-bus does: a call that PID 1 reads in one go with BEGIN
    // would lie there until something else comes (tried on systemd 257).
    stream.write_all(b"\0AUTH EXTERNAL 30\r\nBEGIN\r\n")?;
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") && line.len() < 200 {
        line.extend(read_exactly(&mut stream, 1, deadline)?);
    }
    if !line.starts_with(b"OK ") {
        return Err(io::Error::other("it does not let us in"));
    }
    stream.write_all(&call("StartUnit", &[unit, mode]))?;
    loop {
        let head = read_exactly(&mut stream, 16, deadline)?;
        let number =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize;
        let (body, fields) = (number(4), number(12));
        if head[0] != b'l' || body > MAX_ANSWER || fields > MAX_ANSWER {
            return Err(io::Error::other("its answer cannot be read"));
        }
        let rest = read_exactly(&mut stream, fields.next_multiple_of(8) + body, deadline)?;
        match head[1] {
            METHOD_RETURN => return Ok(()),
            ERROR => {
                let text = rest.get(fields.next_multiple_of(8) + 4..).unwrap_or_default();
                let text = String::from_utf8_lossy(text);
                return Err(io::Error::other(format!("it says no: {}", text.trim_end_matches('\0'))));
            }
            // A signal, which nobody asked for.
            _ => {}
        }
    }
}

fn read_exactly(stream: &mut UnixStream, length: usize, deadline: Instant) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut done = 0;
    while done < length {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut bytes[done..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => done += count,
            // The timeout shows as this; the deadline tells.
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

/// A call of systemd's manager with texts as arguments.
fn call(method: &str, arguments: &[&str]) -> Vec<u8> {
    let mut body = Vec::new();
    for text in arguments {
        put_text(&mut body, text);
    }
    let mut fields = Vec::new();
    for (code, kind, value) in [
        (1, b'o', "/org/freedesktop/systemd1"),
        (2, b's', "org.freedesktop.systemd1.Manager"),
        (3, b's', method),
    ] {
        align(&mut fields, 8);
        fields.extend([code, 1, kind, 0]);
        put_text(&mut fields, value);
    }
    align(&mut fields, 8);
    let signature = "s".repeat(arguments.len());
    fields.extend([8, 1, b'g', 0, length_of(&signature).to_le_bytes()[0]]);
    fields.extend(signature.bytes().chain([0]));
    let mut message = vec![b'l', 1, 0, 1];
    message.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    message.extend(1u32.to_le_bytes());
    message.extend(u32::try_from(fields.len()).unwrap_or(u32::MAX).to_le_bytes());
    // The fields begin at 16, a multiple of 8: their own alignment is the message's.
    message.extend(fields);
    align(&mut message, 8);
    message.extend(body);
    message
}

fn put_text(buffer: &mut Vec<u8>, text: &str) {
    align(buffer, 4);
    buffer.extend(length_of(text).to_le_bytes());
    buffer.extend(text.bytes().chain([0]));
}

fn length_of(text: &str) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}

fn align(buffer: &mut Vec<u8>, to: usize) {
    buffer.resize(buffer.len().next_multiple_of(to), 0);
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread::JoinHandle;

    use super::*;

    /// Answers one connection, and gives back what it was sent.
    fn server(folder: &Path, greeting: &'static [u8], answer: Vec<u8>) -> JoinHandle<Vec<u8>> {
        let listener = UnixListener::bind(folder.join("private")).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut seen = vec![0; 26];
            stream.read_exact(&mut seen).unwrap();
            stream.write_all(greeting).unwrap();
            stream.write_all(&answer).unwrap();
            let _ = stream.read_to_end(&mut seen); // who leaves with bytes unread resets the connection
            seen
        })
    }

    fn message(kind: u8, fields: &[u8], body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![b'l', kind, 0, 1];
        bytes.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
        bytes.extend(7u32.to_le_bytes());
        bytes.extend(u32::try_from(fields.len()).unwrap().to_le_bytes());
        bytes.extend(fields);
        align(&mut bytes, 8);
        bytes.extend(body);
        bytes
    }

    fn ask(folder: &Path, limit: u64) -> io::Result<()> {
        start_unit(&folder.join("private"), "reboot.target", "replace", Duration::from_millis(limit))
    }

    #[test]
    fn the_call_is_as_the_specification_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let sent = server(folder.path(), b"OK 0\r\n", message(METHOD_RETURN, &[0; 5], &[]));
        ask(folder.path(), 5000).unwrap();
        let seen = sent.join().unwrap();
        let call = seen.strip_prefix(b"\0AUTH EXTERNAL 30\r\nBEGIN\r\n").unwrap();
        let body = b"\x0d\0\0\0reboot.target\0\0\0\x07\0\0\0replace\0";
        assert_eq!(&call[..12], b"l\x01\0\x01\x20\0\0\0\x01\0\0\0");
        assert_eq!(body.len(), 0x20);
        let head = call.strip_suffix(body).unwrap();
        assert_eq!(head.len() % 8, 0);
        assert!(head.windows(17).any(|part| part == b"\x03\x01s\0\x09\0\0\0StartUnit"));
        assert!(head.windows(8).any(|part| part == b"\x08\x01g\0\x02ss\0"));
    }

    #[test]
    fn every_other_answer_is_an_error() {
        let no = message(ERROR, &[1; 3], b"\x05\0\0\0never\0");
        let signal = message(4, &[0; 9], b"xyz");
        for (greeting, answer, said) in [
            (&b"REJECTED EXTERNAL\r\n"[..], vec![], "does not let us in"),
            (b"OK 0\r\n", [signal.clone(), no].concat(), "it says no: never"),
            (b"OK 0\r\n", vec![0xff; 64], "cannot be read"),
            (b"OK 0\r\n", signal, "timed out"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let sent = server(folder.path(), greeting, answer);
            let error = ask(folder.path(), 300).unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
            sent.join().unwrap();
        }
    }

    #[test]
    fn a_pid_1_that_does_not_answer_holds_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let _listener = UnixListener::bind(folder.path().join("private")).unwrap();
        let started = Instant::now();
        assert_eq!(ask(folder.path(), 200).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(started.elapsed() < Duration::from_secs(5));
        assert!(start_unit(Path::new("/nowhere/private"), "x", "y", TIME_LIMIT).is_err());
    }
}
