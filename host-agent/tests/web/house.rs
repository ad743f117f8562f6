//! A companion whose pages are served over TLS.

use tempfile::TempDir;

use crate::api::Api;
use crate::browser::Browser;
use crate::rig::Rig;

pub(crate) const READER: &str = "a-token-that-may-look";
pub(crate) const OPERATOR: &str = "a-token-that-may-do-everything";

pub(crate) struct House {
    pub(crate) rig: Rig,
    pub(crate) folder: TempDir,
    pub(crate) api: Api,
}

impl House {
    pub(crate) async fn open() -> Self {
        Self::open_with("").await
    }

    /// `more` are lines of TOML at the configuration's end.
    pub(crate) async fn open_with(more: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("firstlight-web-").tempdir().unwrap();
        let api = Api::new(folder.path(), &[("reader", "read", READER), ("operator", "operator", OPERATOR)]);
        let rig = Rig::serving_with(&format!("{}{more}", api.lines)).await;
        Self { rig, folder, api }
    }

    /// A browser that nobody has signed in with.
    pub(crate) fn browser(&self) -> Browser {
        Browser::new(self.api.address, self.api.authority.pem())
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
