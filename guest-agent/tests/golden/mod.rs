//! Roots of goldens on the disk, made with OpenSSH's own tool.

#![allow(dead_code, reason = "each test program uses its own part")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

const MACHINE_ID: &str = "7be07251d7584360bfa20bcb52311efb";

pub(crate) fn guest_agent() -> &'static str {
    env!("CARGO_BIN_EXE_firstlight-guest")
}

pub(crate) struct Golden(TempDir);

impl Golden {
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn copy(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let copied = Command::new("cp").arg("-a").arg(self.path().join(".")).arg(folder.path()).status();
        assert!(copied.unwrap().success());
        Self(folder)
    }
}

/// An SSH server and no keys, an empty machine-id: as a sealed golden.
pub(crate) fn bare() -> Golden {
    let folder = tempfile::tempdir().unwrap();
    for path in ["etc/ssh", "usr/sbin", "var/lib/dbus", "var/lib/firstlight"] {
        fs::create_dir_all(folder.path().join(path)).unwrap();
    }
    fs::write(folder.path().join("usr/sbin/sshd"), "").unwrap();
    fs::write(folder.path().join("etc/machine-id"), "").unwrap();
    fs::write(folder.path().join("etc/hostname"), "web-01\n").unwrap();
    Golden(folder)
}

/// With keys of three types, a machine-id and D-Bus's copy of it.
pub(crate) fn baked() -> Golden {
    let golden = bare();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let path = golden.path().join(format!("etc/ssh/ssh_host_{kind}_key"));
        let made =
            Command::new("ssh-keygen").args(["-q", "-N", "", "-t", kind, "-f"]).arg(path).status().unwrap();
        assert!(made.success());
    }
    set_machine_id(golden.path(), MACHINE_ID);
    fs::write(golden.path().join("var/lib/dbus/machine-id"), format!("{MACHINE_ID}\n")).unwrap();
    golden
}

pub(crate) fn set_machine_id(root: &Path, id: &str) {
    let path = root.join("etc/machine-id");
    let _ = fs::remove_file(&path);
    fs::write(path, format!("{id}\n")).unwrap();
}

fn keygen(arguments: &[&str], file: &Path) -> String {
    let output = Command::new("ssh-keygen").args(arguments).arg("-f").arg(file).output().unwrap();
    assert!(output.status.success(), "{file:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn private_keys(root: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root.join("etc/ssh")).unwrap().map(|entry| entry.unwrap().path());
    let is_key = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("ssh_host_") && name.ends_with("_key")
    };
    entries.filter(is_key).collect()
}

/// Fingerprints of the private keys, as ssh-keygen reads them.
pub(crate) fn keys_of(root: &Path) -> Vec<String> {
    let fingerprint = |path: &PathBuf| {
        // From the private half alone: a public file beside it would be read instead.
        let alone = tempfile::tempdir().unwrap();
        let copy = alone.path().join("key");
        fs::copy(path, &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).unwrap();
        keygen(&["-l"], &copy).split_whitespace().nth(1).unwrap().to_owned()
    };
    private_keys(root).iter().map(fingerprint).collect()
}

/// Each private key is whole, and stands alone or beside its own public half.
pub(crate) fn assert_pairs(root: &Path, at: &str) {
    let fields = |text: &str| text.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>();
    for private in private_keys(root) {
        assert_eq!(fs::metadata(&private).unwrap().permissions().mode() & 0o7777, 0o600, "{at}");
        let derived = keygen(&["-y"], &private);
        if let Ok(public) = fs::read_to_string(private.with_extension("pub")) {
            assert_eq!(fields(&derived), fields(&public), "{at}: {private:?} is a mixed pair");
        }
    }
}

/// Every file with its bytes and time of change.
pub(crate) fn files(root: &Path) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            if meta.is_dir() {
                open.push(path);
            } else {
                let bytes = if meta.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
                found.insert(path, (bytes, meta.modified().unwrap()));
            }
        }
    }
    found
}
