//! A companion that serves its pages over TLS, with many guests that are ready.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use firstlight_tests::ports::free_address;
use tempfile::TempDir;

use crate::browser::Browser;
use crate::certificates::Authority;
use crate::fleet::Fleet;

const TOKEN: &str = "a-token-that-may-look";

pub(crate) struct Site {
    pub(crate) fleet: Fleet,
    pub(crate) guests: usize,
    api: SocketAddr,
    authority: Authority,
    _folder: TempDir,
}

impl Site {
    /// Brings all guests up: every one is ready, with a report of its own.
    pub(crate) async fn open(guests: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (authority, api) = (Authority::new(), free_address());
        let server = authority.sign("server");
        for (name, text) in
            [("server.pem", server.certificate.as_str()), ("server.key", &server.key), ("reader", TOKEN)]
        {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let place = folder.path().display();
        let more = format!(
            "[api]\nlisten = \"{api}\"\ncertificate = \"{place}/server.pem\"\nkey = \"{place}/server.key\"\n\
             [[api.token]]\nname = \"reader\"\nfile = \"{place}/reader\"\n"
        );
        let began = Instant::now();
        let fleet = Fleet::start_with(folder.path(), &more).await;
        fleet.bring_up(guests).await;
        let reports = fleet.sign().await;
        fleet.finish(reports.into_iter().map(|(_, report)| report).collect()).await;
        eprintln!("{guests} guests are ready after {:.1} s", began.elapsed().as_secs_f64());
        Self { fleet, guests, api, authority, _folder: folder }
    }

    /// A browser that is signed in.
    pub(crate) async fn browser(&self) -> Browser {
        let mut browser = Browser::new(self.api, self.authority.pem());
        browser.sign_in(TOKEN).await;
        browser
    }

    pub(crate) async fn close(self) {
        self.fleet.companion.stop().await;
    }
}
