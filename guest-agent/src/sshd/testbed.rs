//! A real sshd on a free loopback port with keys of its own, for tests.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::keys::{KeyType, MadeKey, make};

pub(crate) struct Sshd {
    pub folder: TempDir,
    pub address: SocketAddr,
    child: Child,
}

impl Sshd {
    /// Serves keys of these types with these lines in its configuration, of which the first may be one of ours.
    pub(crate) fn with(kinds: &[KeyType], lines: &str) -> (Self, Vec<MadeKey>) {
        let folder = tempfile::tempdir().unwrap();
        let keys: Vec<MadeKey> = kinds.iter().map(|kind| make(*kind).unwrap()).collect();
        for key in &keys {
            put(&key_path(folder.path(), key.kind), key.private.as_bytes());
            put(&key_path(folder.path(), key.kind).with_extension("pub"), key.public_line.as_bytes());
        }
        let names = kinds.iter().map(|kind| key_path(folder.path(), *kind));
        let host_keys: String = names.map(|path| format!("HostKey {}\n", path.display())).collect();
        (Self::start(folder, &format!("{host_keys}{lines}")), keys)
    }

    pub(crate) fn start(folder: TempDir, lines: &str) -> Self {
        // Free at this moment; another test may take it, and then sshd says so and the next one is tried.
        for _ in 0..20 {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let config = folder.path().join("sshd_config");
            let port = address.port();
            put(
                &config,
                format!("{lines}\nListenAddress 127.0.0.1:{port}\nPidFile none\nUsePAM no\n").as_bytes(),
            );
            let _ = fs::create_dir_all("/run/sshd"); // where root has none, sshd says so below
            let mut child = Command::new("/usr/sbin/sshd")
                .args(["-D", "-e", "-f"])
                .arg(&config)
                .stdin(Stdio::null())
                .stderr(fs::File::create(folder.path().join("log")).unwrap())
                .spawn()
                .unwrap();
            let started = Instant::now();
            while started.elapsed() < Duration::from_secs(10) && child.try_wait().unwrap().is_none() {
                if TcpStream::connect(address).is_ok() {
                    return Self { folder, address, child };
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        panic!("sshd does not start: {}", fs::read_to_string(folder.path().join("log")).unwrap());
    }

    /// Waits until its log has a text so many times: its processes write after their connection has ended.
    pub(crate) fn has_logged(&self, text: &str, count: usize) -> bool {
        let started = Instant::now();
        while self.log().matches(text).count() != count {
            if started.elapsed() > Duration::from_secs(10) {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn key_path(folder: &Path, kind: KeyType) -> PathBuf {
    folder.join(kind.file_name())
}

pub(crate) fn put(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}
