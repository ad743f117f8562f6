//! The host's side of the network: a bridge in a namespace of its own, which guests are plugged into.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process;

use anyhow::{Context, Result, anyhow};

use crate::guest::Plug;
use crate::run;

const BRIDGE: &str = "flbr0";
const ADDRESS: &str = "10.77.9.1";
const GUEST: &str = "10.77.9.2";
/// The end of a guest's cable here.
const CABLE: &str = "by-hand";

/// Dropping it removes it.
#[derive(Debug)]
pub(super) struct Host {
    namespace: String,
}

impl Host {
    pub(super) fn new() -> Result<Self> {
        let host = Self { namespace: format!("flhome{}", process::id()) };
        run::must(&mut run::command(["ip", "netns", "add", &host.namespace]))?;
        host.ip("link set lo up")?;
        host.ip(&format!("link add {BRIDGE} type bridge"))?;
        host.ip(&format!("addr add {ADDRESS}/24 dev {BRIDGE}"))?;
        host.ip(&format!("link set {BRIDGE} up"))?;
        Ok(host)
    }

    fn ip(&self, words: &str) -> Result<String> {
        run::must(run::command(["ip", "-n", &self.namespace]).args(words.split(' ')))
    }

    /// The place of the next guest, the only one.
    pub(super) fn plug(&self) -> Plug {
        // The kernel takes its time to remove the cable of a guest that is gone.
        let _ = self.ip(&format!("link del {CABLE}"));
        Plug {
            namespace: self.namespace.clone(),
            bridge: BRIDGE.to_owned(),
            address: GUEST.to_owned(),
            gateway: ADDRESS.to_owned(),
        }
    }

    /// A socket of this network, at any port.
    pub(super) fn listen(&self) -> Result<TcpListener> {
        let path = Path::new("/run/netns").join(&self.namespace);
        // Network namespaces belong to threads: this one enters the host's and ends with it; the socket stays there.
        let listener = std::thread::spawn(move || -> Result<TcpListener> {
            nix::sched::setns(File::open(path)?, nix::sched::CloneFlags::CLONE_NEWNET)
                .context("the host's network cannot be entered")?;
            Ok(TcpListener::bind((ADDRESS, 0))?)
        });
        listener.join().map_err(|_| anyhow!("the thread that listens died"))?
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = run::run(&mut run::command(["ip", "netns", "del", &self.namespace]));
    }
}
