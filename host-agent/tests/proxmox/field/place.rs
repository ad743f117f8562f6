//! Where a companion finds its configuration, and leaves its files.

use std::net::SocketAddr;
use std::path::PathBuf;

use firstlight_tests::ports::free_address;
use tempfile::TempDir;

#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    /// Where the companion takes reports.
    pub(crate) reports: SocketAddr,
}

impl Place {
    /// `more`: tables of the configuration, of a backend for one.
    pub(crate) fn with(more: &str, level: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("firstlight-place-").tempdir().unwrap();
        let reports = free_address();
        let place = Self { folder, reports };
        let text = format!(
            "state = {state:?}\n[companion]\nname = \"one\"\nlease = \"2s\"\ngrace = \"1s\"\ndrain = \"2s\"\n\
             [reports]\nlisten = \"{reports}\"\nurl = \"https://{reports}\"\n[api]\nsocket = {socket:?}\n\
             [log]\nlevel = {level:?}\n{more}\n",
            state = place.path("state"),
            socket = place.path("control.sock"),
        );
        place.write("firstlight.toml", &text);
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::write(self.path(name), text).unwrap();
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}
