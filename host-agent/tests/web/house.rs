//! A companion whose pages are served over TLS.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;

use firstlight_tests::ports::free_address;
use tempfile::TempDir;

use crate::browser::Browser;
use crate::certificates::Authority;
use crate::rig::Rig;

pub(crate) const READER: &str = "a-token-that-may-look";
pub(crate) const OPERATOR: &str = "a-token-that-may-do-everything";

pub(crate) struct House {
    pub(crate) rig: Rig,
    pub(crate) folder: TempDir,
    pub(crate) authority: Authority,
    pub(crate) api: SocketAddr,
}

impl House {
    pub(crate) async fn open() -> Self {
        Self::open_with("").await
    }

    /// `more` are lines of TOML at the configuration's end.
    pub(crate) async fn open_with(more: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("firstlight-web-").tempdir().unwrap();
        let (authority, api) = (Authority::new(), free_address());
        let server = authority.sign("server");
        for (name, text) in [
            ("server.pem", server.certificate.as_str()),
            ("server.key", &server.key),
            ("reader", READER),
            ("operator", OPERATOR),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let place = folder.path().display();
        let extra = format!(
            "[api]\nlisten = \"{api}\"\ncertificate = \"{place}/server.pem\"\nkey = \"{place}/server.key\"\n\
             [[api.token]]\nname = \"reader\"\nfile = \"{place}/reader\"\n\
             [[api.token]]\nname = \"operator\"\nrole = \"operator\"\nfile = \"{place}/operator\"\n{more}"
        );
        Self { rig: Rig::serving_with(&extra).await, folder, authority, api }
    }

    /// A browser that nobody has signed in with.
    pub(crate) fn browser(&self) -> Browser {
        Browser::new(self.api, self.authority.pem())
    }

    pub(crate) async fn signed_in(&self, token: &str) -> Browser {
        let mut browser = self.browser();
        browser.sign_in(token).await;
        browser
    }

    /// Brings these guests up, and waits for it.
    pub(crate) async fn up(&self, guests: &[&str], rest: &str) {
        self.rig.run(&["up", &self.rig.spec(guests, rest)]).await.ends_with(0);
    }

    pub(crate) async fn close(mut self) {
        self.rig.stop().await;
    }
}
