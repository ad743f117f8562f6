//! A man in the middle: on a unix socket before a server's, he meets each request on its way, and does it harm if he is
//! told to. One request a connection; websockets pass untouched.

use std::fmt;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use tempfile::TempDir;

/// What is met waits at most so long for its release.
const PATIENCE: Duration = Duration::from_secs(120);

/// One request of many: the `nth` (from 0) of those with this method and path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    pub method: String,
    /// `/1.0/instances/*/state`
    pub path: String,
    pub nth: usize,
}

impl Spot {
    pub fn changes(&self) -> bool {
        !["GET", "HEAD"].contains(&self.method.as_str())
    }

    /// For some seconds nobody asks again.
    pub fn is_remembered(&self) -> bool {
        ["/1.0/profiles/*", "/1.0/networks/*"].contains(&self.path.as_str())
    }

    /// Nobody asks about an operation whose end was told before; and lists are asked for from time to time, whatever is
    /// being done.
    pub fn may_not_come(&self) -> bool {
        self.path == "/1.0/operations/*" || (self.path == "/1.0/instances" && !self.changes())
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.method, self.path, self.nth)
    }
}

/// What becomes of the request that is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The server says this, and nothing is done.
    Refused(u16, &'static str),
    /// The connection breaks, and nothing is done.
    LostRequest,
    /// It is done, and the connection breaks.
    LostAnswer,
    /// The connection breaks, nothing is done, and nobody listens for so long.
    Away(Duration),
    /// It is done and answered so much later.
    Late(Duration),
    /// Nothing is done until [`Between::release`] says so, however long its sender is gone.
    HeldBefore,
    /// It is done; the answer waits for [`Between::release`].
    HeldAfter,
}

/// How the one that is held goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Onward {
    Passes,
    Breaks,
}

/// Whether it is the one. It is asked before the request goes on.
type Sought = Box<dyn FnMut(&Spot) -> bool + Send>;

#[derive(Default)]
struct Kept {
    seen: Vec<Spot>,
    wanted: Option<(Sought, Fate)>,
    met: bool,
    onward: Option<Onward>,
    over: bool,
}

struct Shared {
    server: PathBuf,
    socket: PathBuf,
    kept: Mutex<Kept>,
    changed: Condvar,
}

pub struct Between {
    shared: Arc<Shared>,
    _folder: TempDir,
}

impl fmt::Debug for Between {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Between").field("socket", &self.shared.socket).finish_non_exhaustive()
    }
}

impl Between {
    /// # Errors
    /// There is no room for a socket.
    pub fn before(server: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("flbetween-").tempdir()?;
        let socket = folder.path().join("unix.socket");
        let listener = UnixListener::bind(&socket)?;
        let (kept, changed) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { server: server.to_owned(), socket, kept, changed });
        let met = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if met.kept().over {
                    return;
                }
                let met = Arc::clone(&met);
                // Whoever asked may be gone.
                thread::spawn(move || met.serve(stream));
            }
        });
        Ok(Self { shared, _folder: folder })
    }

    pub fn socket(&self) -> &Path {
        &self.shared.socket
    }

    /// As [`Between::meet`], of this one.
    pub fn meet_at(&self, spot: &Spot, fate: Fate) {
        let spot = spot.clone();
        self.meet(move |seen| *seen == spot, fate);
    }

    /// From now on requests are counted anew, and the first that is sought is met, once.
    pub fn meet(&self, sought: impl FnMut(&Spot) -> bool + Send + 'static, fate: Fate) {
        *self.shared.kept() = Kept { wanted: Some((Box::new(sought), fate)), ..Kept::default() };
    }

    /// From now on requests are counted anew, and all of them pass.
    pub fn pass(&self) {
        *self.shared.kept() = Kept::default();
    }

    /// The requests since then, in their order.
    pub fn seen(&self) -> Vec<Spot> {
        self.shared.kept().seen.clone()
    }

    pub fn has_met(&self) -> bool {
        self.shared.kept().met
    }

    /// The one that is held goes on.
    pub fn release(&self, onward: Onward) {
        self.shared.kept().onward = Some(onward);
        self.shared.changed.notify_all();
    }

    /// Nobody listens until [`Between::come_back`].
    ///
    /// # Errors
    /// He is away already.
    pub fn go_away(&self) -> Result<()> {
        ensure!(self.shared.go_away(), "nobody listens already");
        Ok(())
    }

    pub fn come_back(&self) {
        self.shared.come_back();
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        self.shared.come_back();
        self.shared.kept().over = true;
        self.release(Onward::Breaks);
        // The listener hears of it.
        let _ = UnixStream::connect(self.socket());
    }
}

impl Shared {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut client: UnixStream) -> io::Result<()> {
        let Some(request) = Request::read(&mut client)? else { return Ok(()) };
        if request.is_upgrade {
            return tunnel(client, self.to_server(&request, "")?);
        }
        let Some(fate) = self.fate_of(&request) else {
            let answer = self.ask(&request)?;
            return client.write_all(&answer);
        };
        match fate {
            Fate::Refused(status, text) => return client.write_all(&refusal(status, text)),
            Fate::LostRequest => {}
            Fate::LostAnswer => {
                self.ask(&request)?;
            }
            Fate::Away(time) => {
                self.go_away();
                drop(client);
                thread::sleep(time);
                self.come_back();
            }
            Fate::Late(time) => {
                thread::sleep(time);
                let answer = self.ask(&request)?;
                client.write_all(&answer)?;
            }
            Fate::HeldBefore if self.held() == Onward::Passes => {
                let answer = self.ask(&request)?;
                client.write_all(&answer)?;
            }
            Fate::HeldAfter => {
                let answer = self.ask(&request);
                self.note_met();
                if self.held() == Onward::Passes {
                    client.write_all(&answer?)?;
                }
            }
            Fate::HeldBefore => {}
        }
        Ok(())
    }

    fn fate_of(&self, request: &Request) -> Option<Fate> {
        let mut kept = self.kept();
        let path = pattern(&request.path);
        let nth = kept.seen.iter().filter(|seen| seen.method == request.method && seen.path == path).count();
        let spot = Spot { method: request.method.clone(), path, nth };
        let met = kept.wanted.take_if(|(sought, _)| sought(&spot)).map(|(_, fate)| fate);
        kept.seen.push(spot);
        kept.met |= met.is_some_and(|fate| fate != Fate::HeldAfter);
        met
    }

    fn note_met(&self) {
        self.kept().met = true;
    }

    fn held(&self) -> Onward {
        let waited = self
            .changed
            .wait_timeout_while(self.kept(), PATIENCE, |kept| kept.onward.is_none() && !kept.over);
        let (kept, _) = waited.unwrap_or_else(PoisonError::into_inner);
        kept.onward.unwrap_or(Onward::Breaks)
    }

    fn go_away(&self) -> bool {
        fs::rename(&self.socket, self.aside()).is_ok()
    }

    fn come_back(&self) {
        let _ = fs::rename(self.aside(), &self.socket); // he was there all the time
    }

    fn aside(&self) -> PathBuf {
        self.socket.with_extension("aside")
    }

    /// The server's whole answer.
    fn ask(&self, request: &Request) -> io::Result<Vec<u8>> {
        let mut answer = Vec::new();
        self.to_server(request, "Connection: close\r\n")?.read_to_end(&mut answer)?;
        Ok(answer)
    }

    fn to_server(&self, request: &Request, more: &str) -> io::Result<UnixStream> {
        let mut server = UnixStream::connect(&self.server)?;
        let head = request.head.strip_suffix("\r\n").unwrap_or(&request.head);
        server.write_all(format!("{head}{more}\r\n").as_bytes())?;
        server.write_all(&request.body)?;
        Ok(server)
    }
}

struct Request {
    method: String,
    /// Without its query.
    path: String,
    head: String,
    body: Vec<u8>,
    is_upgrade: bool,
}

impl Request {
    /// None: there is none.
    fn read(stream: &mut UnixStream) -> io::Result<Option<Self>> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read(&mut byte)? == 0 {
                return Ok(None);
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let header = |wanted: &str| {
            let mut pairs = head.lines().filter_map(|line| line.split_once(": "));
            pairs.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.to_owned())
        };
        let length = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let is_upgrade = header("upgrade").is_some();
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        let mut words = head.split_whitespace();
        let method = words.next().unwrap_or_default().to_owned();
        let path = words.next().unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
        Ok(Some(Self { method, path, head, body, is_upgrade }))
    }
}

/// Names are any.
fn pattern(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').collect();
    let kinds = [
        "instances",
        "operations",
        "profiles",
        "networks",
        "projects",
        "storage-pools",
        "custom",
        "aliases",
        "images",
        "snapshots",
    ];
    let is_name = |place: usize| place > 2 && kinds.contains(&parts[place - 1]) && parts[place] != "aliases";
    let part = |place: usize| if is_name(place) { "*" } else { parts[place] };
    (0..parts.len()).map(part).collect::<Vec<_>>().join("/")
}

fn refusal(status: u16, text: &str) -> Vec<u8> {
    let body = serde_json::json!({
        "type": "error", "status": "", "status_code": 0, "operation": "", "error_code": status, "error": text,
        "metadata": null,
    });
    let body = body.to_string();
    let head = format!("HTTP/1.1 {status} Words\r\nContent-Type: application/json\r\nConnection: close\r\n");
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Both ways, until one end closes.
fn tunnel(client: UnixStream, server: UnixStream) -> io::Result<()> {
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
    let (mut from, mut to) = (server, client);
    let copied = io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Both);
    copied.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_paths_are_any() {
        for (path, pattern_of_it) in [
            ("/1.0", "/1.0"),
            ("/1.0/instances", "/1.0/instances"),
            ("/1.0/instances/web-01/state", "/1.0/instances/*/state"),
            ("/1.0/images/aliases/golden", "/1.0/images/aliases/*"),
            ("/1.0/images/abcdef", "/1.0/images/*"),
            ("/1.0/operations/123/wait", "/1.0/operations/*/wait"),
            ("/1.0/storage-pools/fast/volumes/custom/x", "/1.0/storage-pools/*/volumes/custom/*"),
        ] {
            assert_eq!(pattern(path), pattern_of_it, "{path}");
        }
    }
}
