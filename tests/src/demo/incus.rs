//! The demo on a real Incus server of its own.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::rig::incus::{GOLDEN, IncusServer};

const PROJECT: &str = "default";

#[derive(Debug)]
pub(super) struct Server {
    server: IncusServer,
    before: Value,
}

impl Server {
    pub(super) fn start(golden: &Path) -> Result<Self> {
        let server = IncusServer::start(&[(GOLDEN, golden)])?;
        let before = server.inventory(PROJECT)?;
        eprintln!("an Incus server at {}", server.socket().display());
        Ok(Self { server, before })
    }

    /// What the companion is told, which listens at this port.
    pub(super) fn configure(&self, state: &Path, port: u16) -> Result<()> {
        let text = format!(
            "[reports]\nurl = \"https://{}:{port}\"\n\n[incus]\nsocket = \"{}\"\n",
            self.server.gateway(),
            self.server.socket().display()
        );
        fs::write(state.with_extension("toml"), text)
            .context("the companion's configuration cannot be written")
    }

    pub(super) fn diagnosis(&self) -> String {
        self.server.log()
    }

    /// Ends it, and judges what the companion left in it.
    pub(super) fn end(self) -> Result<()> {
        let after = self.server.inventory(PROJECT)?;
        ensure!(after == self.before, "the server is not as it was before: {after:#}");
        let traces = self.server.traces();
        drop(self.server);
        let left: Vec<_> = traces.iter().filter(|path| path.exists()).collect();
        ensure!(left.is_empty(), "left behind: {left:?}");
        eprintln!("the server was left as it was before");
        Ok(())
    }
}
