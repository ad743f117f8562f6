//! Starting a guest, and what it is booted with.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::guest::{Guest, Kind, Power};
use super::super::guests::Boot;
use super::super::property::Properties;
use super::super::task::{Job, Stage};
use super::super::world::World;

#[derive(Debug)]
pub(in super::super) struct Start {
    pub(in super::super) kind: Kind,
    pub(in super::super) node: String,
    pub(in super::super) id: u32,
}

impl Job for Start {
    fn flock(&self, world: &World) -> Option<(Kind, u32, Duration)> {
        Some((self.kind, self.id, world.profile.locks.guest))
    }

    fn begin(&mut self, world: &mut World, _log: &mut Vec<String>) -> Result<Vec<Stage>, String> {
        let (kind, id) = (self.kind, self.id);
        let guest = world.guest(kind, &self.node, id)?;
        if guest.is_running() {
            return Err(format!("{} {id} already running", kind.word()));
        }
        if guest.has("template") {
            return Err(match kind {
                Kind::Lxc => "you can't start a CT if it's a template".into(),
                Kind::Qemu => "you can't start a vm if it's a template".into(),
            });
        }
        guest.check_lock()?;
        if kind == Kind::Qemu {
            let nets = guest.config.iter().filter(|(key, _)| key.starts_with("net"));
            nets.map(|(_, net)| net).try_for_each(|net| world.require_bridge(net))?;
        }
        Ok(vec![Stage::of(world.profile.start)])
    }

    fn finish(&mut self, world: &mut World, log: &mut Vec<String>) -> Result<usize, String> {
        let (kind, id) = (self.kind, self.id);
        world.guest_mut(kind, &self.node, id)?.apply_pending();
        let guest = world.guest(kind, &self.node, id)?;
        let boot = world.boot(id, guest);
        let nests =
            Properties::parse(guest.get("features").unwrap_or_default(), "").get("nesting") == Some("1");
        if let Err(words) = world.machines.boot(&boot, world.now) {
            log.push(words);
            return Err(match kind {
                Kind::Lxc => format!("startup for container '{id}' failed"),
                Kind::Qemu => "start failed: QEMU exited with code 1".into(),
            });
        }
        let (since, pid) = (world.now, world.next_pid());
        world.guest_mut(kind, &self.node, id)?.power = Power::Running { since, pid };
        if kind == Kind::Lxc && !nests {
            log.push("WARN: Systemd 257 detected. You may need to enable nesting.".into());
            return Ok(1);
        }
        Ok(0)
    }
}

impl World {
    pub(super) fn boot(&self, id: u32, guest: &Guest) -> Boot {
        let nets = guest.config.iter().filter(|(key, _)| key.starts_with("net"));
        let mac = nets.map(|(_, net)| mac_of(guest.kind, net)).next().flatten();
        let smbios = Properties::parse(guest.get("smbios1").unwrap_or_default(), "");
        let env = guest.get("env").unwrap_or_default().split('\0');
        let mounts = guest.config.values().filter_map(|value| {
            let mount = Properties::parse(value, "volume");
            Some((mount.get("volume")?.to_owned(), mount.get("mp")?.to_owned()))
        });
        Boot {
            id,
            kind: guest.kind,
            archive: guest.origin.clone(),
            hostname: guest.get("hostname").or(guest.get("name")).unwrap_or_default().to_owned(),
            mac,
            env: env
                .filter_map(|part| part.split_once('='))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            uuid: smbios.get("uuid").map(str::to_owned),
            serial: smbios.get("serial").map(decoded),
            mounts: mounts.collect(),
        }
    }
}

/// Serials stand in base64.
fn decoded(text: &str) -> String {
    let bytes = STANDARD.decode(text).unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

/// The MAC of a network device: `hwaddr=` of containers, the model's value of machines.
pub(in super::super) fn mac_of(kind: Kind, net: &str) -> Option<String> {
    match kind {
        Kind::Lxc => Properties::parse(net, "name").get("hwaddr").map(str::to_owned),
        Kind::Qemu => net.split(',').next()?.split_once('=').map(|(_, mac)| mac.to_owned()),
    }
}
