//! A companion in this process, configured by a file of its own.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use firstlight::config::{Configuration, Sources, load};
use firstlight::daemon::{Companion, Purpose};
use firstlight_tests::ports::free_address;
use tempfile::TempDir;

use crate::certificates::Authority;
use crate::client::{Answer, Proof, over_socket, over_tls};

pub(crate) const READER: &str = "a-token-that-may-look";
pub(crate) const OPERATOR: &str = "a-token-that-may-do-everything";

pub(crate) struct Rig {
    pub(crate) folder: TempDir,
    pub(crate) authority: Authority,
    pub(crate) api: SocketAddr,
    pub(crate) reports: SocketAddr,
    pub(crate) sources: Sources,
}

impl Rig {
    /// Everything that a configuration can have; `more` is added to its end.
    pub(crate) fn new(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let (api, reports) = (free_address(), free_address());
        let authority = Authority::new();
        let sources = Sources {
            file: folder.path().join("firstlight.toml"),
            file_is_named: true,
            host_name: "rig".to_owned(),
            ..Sources::default()
        };
        let rig = Self { folder, authority, api, reports, sources };
        let server = rig.authority.sign("server");
        rig.write("server.pem", &server.certificate);
        rig.write("server.key", &server.key);
        rig.write("clients.pem", &rig.authority.pem());
        rig.write("reader", READER);
        rig.write("operator", OPERATOR);
        rig.configure(more);
        rig
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn configure(&self, more: &str) {
        let folder = self.folder.path().display();
        let text = format!(
            "state = \"{folder}/state\"\n[reports]\nlisten = \"{reports}\"\n\
             [api]\nsocket = \"{folder}/control.sock\"\nlisten = \"{api}\"\ncertificate = \"{folder}/server.pem\"\n\
             key = \"{folder}/server.key\"\nclient_ca = \"{folder}/clients.pem\"\n\
             [[api.token]]\nname = \"reader\"\nfile = \"{folder}/reader\"\n\
             [[api.token]]\nname = \"operator\"\nrole = \"operator\"\nfile = \"{folder}/operator\"\n\
             [[api.client]]\nname = \"anna\"\nrole = \"operator\"\n[[api.client]]\nname = \"ben\"\n{more}",
            reports = self.reports,
            api = self.api,
        );
        self.write("firstlight.toml", &text);
    }

    pub(crate) fn load(&self) -> Configuration {
        load(&self.sources).unwrap()
    }

    pub(crate) async fn start(&self) -> Companion {
        Companion::start(&self.load().settings, Purpose::Serve, Vec::new()).await.unwrap()
    }

    pub(crate) async fn tls(&self, proof: Proof<'_>, method: &str, path: &str) -> Answer {
        over_tls(self.api, &self.authority.pem(), proof, method, path).await.unwrap()
    }

    pub(crate) async fn socket(&self, method: &str, path: &str) -> Answer {
        over_socket(&self.path("control.sock"), method, path).await
    }

    /// Asks until the answer is as wanted.
    pub(crate) async fn until(&self, path: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
        for _ in 0..200 {
            let answer = self.socket("GET", path).await;
            if wanted(&answer) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{path} does not answer as wanted: {:?}", self.socket("GET", path).await);
    }
}
