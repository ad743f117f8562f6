//! A companion that serves its pages over TLS, with many guests that are ready.

use std::time::Instant;

use tempfile::TempDir;

use crate::api::Api;
use crate::browser::Browser;
use crate::fleet::Fleet;

const TOKEN: &str = "a-token-that-may-look";

pub(crate) struct Site {
    pub(crate) fleet: Fleet,
    pub(crate) guests: usize,
    api: Api,
    _folder: TempDir,
}

impl Site {
    /// Brings all guests up: every one is ready, with a report of its own.
    pub(crate) async fn open(guests: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let api = Api::new(folder.path(), &[("reader", "read", TOKEN)]);
        let began = Instant::now();
        let fleet = Fleet::start_with(folder.path(), &api.lines).await;
        fleet.bring_up(guests).await;
        let reports = fleet.sign().await;
        fleet.finish(reports.into_iter().map(|(_, report)| report).collect()).await;
        eprintln!("{guests} guests are ready after {:.1} s", began.elapsed().as_secs_f64());
        Self { fleet, guests, api, _folder: folder }
    }

    /// A browser that is signed in.
    pub(crate) async fn browser(&self) -> Browser {
        let mut browser = Browser::new(self.api.address, self.api.authority.pem());
        browser.sign_in(TOKEN).await;
        browser
    }

    pub(crate) async fn close(self) {
        self.fleet.companion.stop().await;
    }
}
