//! One companion: the program itself, with the claims of its guests in its store.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use firstlight::store::Store;
use firstlight_tests::ports::free_address;
use firstlight_tests::run::without_variables;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinSet;

use crate::honest::{self, Honest};

/// In MiB: a debug build has 50 of them when it starts.
const MOST_MEMORY: u64 = 256;
/// A service that nobody configured may have so many files: the default of systemd and of shells.
const FILES: &str = "--nofile=1024:1024";
/// Attacks are measured one after another.
static ALONE: Mutex<()> = Mutex::const_new(());

pub(crate) struct Site {
    pub(crate) folder: TempDir,
    pub(crate) reports: SocketAddr,
    /// What no attack may drive its memory to, in MiB.
    pub(crate) most_memory: u64,
    child: Child,
    _alone: MutexGuard<'static, ()>,
}

/// How honest guests fared beside an attack.
#[derive(Debug)]
pub(crate) struct Fared {
    pub(crate) median: Duration,
    pub(crate) longest: Duration,
    /// In MiB.
    pub(crate) peak: u64,
}

impl Site {
    pub(crate) async fn start(guests: &[Honest]) -> Self {
        Self::with(guests, |_| String::new()).await
    }

    /// `more` adds to the configuration, and may write files into the folder.
    pub(crate) async fn with(guests: &[Honest], more: impl FnOnce(&Path) -> String) -> Self {
        let alone = ALONE.lock().await;
        let folder = tempfile::Builder::new().prefix("firstlight-attacks-").tempdir().unwrap();
        let open = |mode| std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(folder.path(), open(0o755)).unwrap();
        let (state, reports) = (folder.path().join("state"), free_address());
        std::fs::create_dir(&state).unwrap();
        std::fs::set_permissions(&state, open(0o700)).unwrap();
        let store = Store::open(&state.join("firstlight.db")).await.unwrap();
        for guest in guests {
            guest.is_waited_for(&store).await;
        }
        store.close().await;
        let configuration = folder.path().join("firstlight.toml");
        let text = format!(
            "state = {state:?}\n[reports]\nlisten = \"{reports}\"\n[api]\nsocket = {:?}\n[log]\nlevel = \"warn\"\n{}",
            folder.path().join("control.sock"),
            more(folder.path()),
        );
        std::fs::write(&configuration, text).unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new("prlimit");
        command.args([FILES, env!("CARGO_BIN_EXE_firstlight"), "serve", "--config"]).arg(&configuration);
        without_variables(&mut command);
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("prlimit is there");
        let mut site = Self { folder, reports, most_memory: MOST_MEMORY, child, _alone: alone };
        let deadline = Instant::now() + Duration::from_secs(30);
        while UnixStream::connect(site.socket()).await.is_err() {
            let ended = site.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "{ended:?}\n{}", site.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        site
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("control.sock")
    }

    pub(crate) fn configuration(&self) -> PathBuf {
        self.folder.path().join("firstlight.toml")
    }

    /// Has honest guests report, one each `every`, while the attackers are at it; then sees that the companion lives, took
    /// each report, and had no more memory than it may have.
    pub(crate) async fn beside(
        &mut self,
        what: &str,
        attack: JoinSet<()>,
        guests: Vec<Honest>,
        every: Duration,
    ) -> Fared {
        let count = guests.len();
        // So that it has begun.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let took = honest::deliver(guests, self.reports, every).await;
        drop(attack);
        let fared = Fared { median: took[took.len() / 2], longest: took[took.len() - 1], peak: self.peak() };
        eprintln!(
            "{what}: {count} honest guests reported in {:?} (median), {:?} (longest); the companion had {} MiB at most",
            fared.median, fared.longest, fared.peak
        );
        // A guest whose acknowledgement was cut off is acknowledged again, and counted again.
        assert!(self.counted().await["taken"] >= count as u64);
        self.assert_sound();
        fared
    }

    /// Alive, without a panic, and within its memory.
    pub(crate) fn assert_sound(&mut self) {
        assert_eq!(self.child.try_wait().unwrap(), None, "{}", self.log());
        assert!(!self.log().contains("panicked"), "{}", self.log());
        assert!(self.peak() <= self.most_memory, "{} MiB", self.peak());
    }

    /// The most memory that it ever had, in MiB.
    pub(crate) fn peak(&self) -> u64 {
        peak(self.child.id())
    }

    /// Reports by what became of them, as the companion counts them.
    pub(crate) async fn counted(&self) -> BTreeMap<String, u64> {
        let text = self.get("/metrics").await;
        let lines = text.lines().filter_map(|line| line.strip_prefix("firstlight_reports_total{code=\""));
        let pairs = lines.filter_map(|line| line.split_once("\"} "));
        pairs.map(|(code, count)| (code.to_owned(), count.trim().parse().unwrap())).collect()
    }

    /// What the control socket answers.
    pub(crate) async fn get(&self, path: &str) -> String {
        let asked = async {
            let mut stream = UnixStream::connect(self.socket()).await?;
            let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        let answer = tokio::time::timeout(Duration::from_secs(10), asked).await;
        answer.expect("the companion answers root").unwrap()
    }

    /// Bytes in the state folder.
    pub(crate) fn stored(&self) -> u64 {
        let entries = std::fs::read_dir(self.folder.path().join("state")).unwrap();
        entries.filter_map(|entry| entry.ok()?.metadata().ok()).map(|about| about.len()).sum()
    }

    /// Its last words.
    pub(crate) fn log(&self) -> String {
        let text = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

/// The most memory that a process ever had, in MiB; 0 if it is gone.
pub(crate) fn peak(pid: u32) -> u64 {
    firstlight_tests::memory::peak(pid).unwrap_or(0) >> 20
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the companion\n{}", self.log());
        }
        let _ = kill(Pid::from_raw(self.child.id().try_into().unwrap()), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}
