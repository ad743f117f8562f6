//! devIncus: what Incus (and LXD, with the same protocol) offers inside each of its instances.
//!
//! HTTP over a local socket; the server knows the instance by the caller's process and takes root's word only.
//! HTTP/1.0 here: one answer without chunks, then the end of the connection. Source: doc/dev-incus.md and
//! cmd/incusd/dev_incus.go of Incus, doc/dev-lxd.md of LXD.

use std::time::Duration;

use zeroize::Zeroizing;

use crate::sys::ask_socket;

/// For one question, from connecting to the whole answer. It stands in the way of the boot.
const LIMIT: Duration = Duration::from_secs(1);
/// An instance's configuration key may be long, a claim is not.
const MAX_ANSWER: u64 = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub(crate) enum DevIncusError {
    #[error("{socket} does not answer")]
    Socket { socket: String, source: std::io::Error },
    #[error("{socket} answers with status {status}")]
    Status { socket: String, status: u16 },
    #[error("{socket} does not speak HTTP")]
    Http { socket: String },
}

impl DevIncusError {
    /// Whether the server is down, dies or is on its way up, rather than refuses.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Socket { .. } | Self::Http { .. } => true,
            Self::Status { status, .. } => *status >= 500,
        }
    }
}

/// The value of an instance's configuration key (`user.*`); none if it is not set.
///
/// # Errors
/// No answer in time, or one that is no value. No message holds the value.
pub(crate) fn value(socket: &str, key: &str) -> Result<Option<Zeroizing<Vec<u8>>>, DevIncusError> {
    match ask(socket, &format!("GET /1.0/config/{key} HTTP/1.0\r\nHost: devincus\r\n\r\n"))? {
        (200, body) => Ok(Some(body)),
        (404, _) => Ok(None),
        (status, _) => Err(DevIncusError::Status { socket: socket.to_owned(), status }),
    }
}

/// Tells the server that this instance is ready: it raises the event `instance-ready`.
///
/// # Errors
/// No answer in time, or a refusal.
pub(crate) fn set_ready(socket: &str) -> Result<(), DevIncusError> {
    let body = r#"{"state":"Ready"}"#;
    let head = "PATCH /1.0 HTTP/1.0\r\nHost: devincus\r\nContent-Type: application/json\r\n";
    match ask(socket, &format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()))? {
        (200, _) => Ok(()),
        (status, _) => Err(DevIncusError::Status { socket: socket.to_owned(), status }),
    }
}

fn ask(socket: &str, request: &str) -> Result<(u16, Zeroizing<Vec<u8>>), DevIncusError> {
    let failed = |source| DevIncusError::Socket { socket: socket.to_owned(), source };
    let answer = ask_socket(socket, request.as_bytes(), LIMIT, MAX_ANSWER).map_err(failed)?;
    parse(&answer).ok_or_else(|| DevIncusError::Http { socket: socket.to_owned() })
}

/// Status and body of a whole answer.
pub(crate) fn parse(answer: &[u8]) -> Option<(u16, Zeroizing<Vec<u8>>)> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let mut words = head.lines().next()?.split(' ');
    let status = words.next().filter(|word| word.starts_with("HTTP/1.")).and(words.next())?.parse().ok()?;
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    };
    let body = &answer[end + 4..];
    // A cut answer must not pass for a short value.
    let whole = header("content-length").is_none_or(|length| length.parse() == Ok(body.len()));
    (whole && header("transfer-encoding").is_none()).then(|| (status, Zeroizing::new(body.to_vec())))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    use super::*;

    /// A server that answers each connection with the next text; gives the first lines that it was asked.
    pub(crate) fn serve(
        path: &std::path::Path,
        answers: Vec<String>,
    ) -> std::thread::JoinHandle<Vec<String>> {
        let listener = UnixListener::bind(path).unwrap();
        std::thread::spawn(move || {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 4096];
                let count = stream.read(&mut request).unwrap();
                let text = String::from_utf8_lossy(&request[..count]).into_owned();
                asked.push(text.lines().next().unwrap_or_default().to_owned());
                let _ = stream.write_all(answer.as_bytes());
            }
            asked
        })
    }

    pub(crate) fn answer(status: u16, body: &str) -> String {
        format!("HTTP/1.0 {status} x\r\nContent-Length: {}\r\nContent-Type: x\r\n\r\n{body}", body.len())
    }

    #[test]
    fn values_absence_and_trouble_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sock");
        let cut = answer(200, "secret").replace("Length: 6", "Length: 7");
        let server = serve(
            &path,
            vec![answer(200, "secret"), answer(404, "not found"), answer(403, "no"), cut, "x".into()],
        );
        let path = path.to_str().unwrap();
        assert_eq!(value(path, "user.a").unwrap().unwrap().as_slice(), b"secret");
        assert!(value(path, "user.a").unwrap().is_none());
        for said in ["answers with status 403", "does not speak HTTP", "does not speak HTTP"] {
            let error = value(path, "user.a").unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains("secret"), "{error}");
        }
        assert_eq!(server.join().unwrap()[0], "GET /1.0/config/user.a HTTP/1.0");
        assert!(matches!(value(path, "user.a"), Err(DevIncusError::Socket { .. })));
    }

    #[test]
    fn a_server_that_says_nothing_holds_the_boot_for_a_second_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sock");
        let _deaf = UnixListener::bind(&path).unwrap();
        let started = std::time::Instant::now();
        assert!(value(path.to_str().unwrap(), "user.a").is_err());
        assert!(started.elapsed() < LIMIT * 30);
    }

    proptest::proptest! {
        #[test]
        fn no_answer_is_too_odd_and_no_cut_one_passes(body in ".{1,60}", cut in 0..400usize, noise: Vec<u8>) {
            let _ = parse(&noise);
            let _ = parse(&[b"HTTP/1.1 200 OK\r\n".to_vec(), noise].concat());
            let whole = answer(200, &body);
            let cut = cut.min(whole.len());
            let parsed = parse(&whole.as_bytes()[..cut]);
            proptest::prop_assert_eq!(parsed.is_some(), cut == whole.len());
        }
    }
}
