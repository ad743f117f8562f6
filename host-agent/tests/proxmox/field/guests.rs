//! Guests that do what real ones do as far as a companion sees it: a signed report made with the shared code, its beacon
//! on `lo`, and POSTs of it until somebody takes it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use firstlight_shared::beacon::{Beacon, Reason};
use firstlight_shared::ids::MachineId;
use firstlight_shared::paths::SECRET_VARIABLE;
use firstlight_shared::wire::{Claim, ExpectedSecret, SecretOutcome, secret_prefix};
use firstlight_tests::simpve::call::Moment;
use firstlight_tests::simpve::guest::Kind;
use firstlight_tests::simpve::guests::{Boot, Finished, Guests, Interface, Script, Scripted};
use firstlight_tests::simpve::profile::Profile;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::MOUNT;
use super::post::post;
use super::report::Guest;

#[derive(Debug)]
pub(super) struct Reporting {
    scripted: Scripted,
    runtime: Handle,
    sending: BTreeMap<u32, JoinHandle<()>>,
    home: Home,
}

/// Where guests report that nobody told who they are, as their golden's `guest.toml` says; not set: nowhere.
pub(crate) type Home = Arc<OnceLock<SocketAddr>>;

/// Of this name a guest says nothing.
pub(crate) const SILENT: &str = "silent";

impl Reporting {
    /// They send from the runtime that this is called in.
    pub(super) fn of(profile: &Profile, home: Home) -> Self {
        Self { scripted: Scripted::of(profile), runtime: Handle::current(), sending: BTreeMap::new(), home }
    }

    /// Its report is made, and shown by its beacon.
    fn raise(&mut self, boot: &Boot, guest: &Guest, claim: Option<&Claim>) -> String {
        let secrets = claim.map(|claim| secrets(boot, claim)).unwrap_or_default();
        let envelope = guest.envelope_with(claim, &machine_id(boot), secrets);
        let beacon = Beacon::of_report(&envelope, Reason::None).expect("its report is well formed");
        let script = Script {
            agent: Some(Duration::ZERO),
            beacon: Some((Duration::ZERO, beacon)),
            ..self.scripted.script.clone()
        };
        self.scripted.scripts.insert(boot.id, script);
        serde_json::to_string(&envelope).expect("it is plain data")
    }
}

impl Guests for Reporting {
    fn boot(&mut self, boot: &Boot, now: Moment) -> Result<(), String> {
        self.stop(boot.id);
        if let Some((guest, claim)) = identity(boot) {
            let text = self.raise(boot, &guest, Some(&claim));
            self.sending.insert(boot.id, self.runtime.spawn(send(guest, claim, text)));
        } else if let (Some(home), Some(guest)) = (self.home.get().copied(), stranger(boot)) {
            let text = self.raise(boot, &guest, None);
            self.sending.insert(boot.id, self.runtime.spawn(send_home(guest, home, text)));
        }
        self.scripted.boot(boot, now)
    }

    fn stop(&mut self, id: u32) {
        if let Some(sending) = self.sending.remove(&id) {
            sending.abort();
        }
        self.scripted.stop(id);
    }

    fn interfaces(&self, id: u32, now: Moment) -> Vec<Interface> {
        self.scripted.interfaces(id, now)
    }

    fn obeys(&self, id: u32, now: Moment) -> bool {
        self.scripted.obeys(id, now)
    }

    fn agent_answers(&self, id: u32, now: Moment) -> bool {
        self.scripted.agent_answers(id, now)
    }

    /// The golden's fstab has mounted the disk that was added.
    fn filesystems(&self, id: u32) -> Vec<Value> {
        if !self.scripted.agent_answers(id, Moment::MAX) {
            return Vec::new();
        }
        let disk = json!([{ "bus-type": "scsi", "dev": "/dev/sdb", "serial": "0QEMU_QEMU_HARDDISK_fl-0" }]);
        vec![json!({ "mountpoint": MOUNT, "name": "sdb", "type": "ext4", "disk": disk })]
    }

    fn read_file(&self, id: u32, path: &str) -> Option<Vec<u8>> {
        self.scripted.read_file(id, path)
    }

    fn write_file(&mut self, id: u32, path: &str, content: &[u8]) -> bool {
        self.scripted.write_file(id, path, content)
    }

    fn run(&mut self, id: u32, command: &[String], input: &str) -> Option<Finished> {
        self.scripted.run(id, command, input)
    }
}

/// None: nobody told the guest who it is.
fn identity(boot: &Boot) -> Option<(Guest, Claim)> {
    let handed = match boot.kind {
        Kind::Lxc => &boot.env.iter().find(|(name, _)| name == "FIRSTLIGHT_CLAIM")?.1,
        Kind::Qemu => boot.serial.as_ref()?,
    };
    let claim = Claim::parse(handed.as_bytes()).ok()?;
    // Nothing in a machine follows the hypervisor's name for it.
    let name = claim.hostname.as_ref().map_or(boot.hostname.clone(), ToString::to_string);
    let mac = boot.mac.as_ref()?.parse().ok()?;
    let [_, _, high, low] = boot.id.to_be_bytes();
    Some((Guest { name, mac, address: IpAddr::from([10, 78, high, low]) }, claim))
}

/// A guest that another tool made.
fn stranger(boot: &Boot) -> Option<Guest> {
    let mac = boot.mac.as_ref()?.parse().ok()?;
    let [_, _, high, low] = boot.id.to_be_bytes();
    let guest = Guest { name: boot.hostname.clone(), mac, address: IpAddr::from([10, 78, high, low]) };
    (guest.name != SILENT).then_some(guest)
}

/// Until it is taken: who is not waited for yet is told to come again.
async fn send_home(guest: Guest, home: SocketAddr, report: String) {
    while !matches!(post(home, guest.source(), report.clone()).await, Ok((200, _))) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// As real guests write what they are passed to its place.
fn secrets(boot: &Boot, claim: &Claim) -> Vec<SecretOutcome> {
    let outcome = |(index, expected): (usize, &ExpectedSecret)| {
        let variable = format!("{SECRET_VARIABLE}{index}");
        let passed = boot.env.iter().find(|(name, _)| *name == variable);
        let content = passed.and_then(|(_, text)| BASE64_STANDARD.decode(text).ok());
        SecretOutcome {
            path: expected.path.clone(),
            sha256_prefix: content.as_deref().map(secret_prefix),
            mode: Some(expected.mode.clone()),
            owner: Some(expected.owner.clone()),
            problem: content.is_none().then(|| "it is not there".to_owned()),
        }
    };
    claim.secrets.iter().enumerate().map(outcome).collect()
}

/// The one that the hypervisor fixed, as systemd takes it in a guest that has none.
fn machine_id(boot: &Boot) -> MachineId {
    let fixed = match boot.kind {
        Kind::Lxc => boot.env.iter().find(|(name, _)| name == "container_uuid").map(|(_, uuid)| uuid),
        Kind::Qemu => boot.uuid.as_ref(),
    };
    let fixed = fixed.and_then(|uuid| uuid.replace('-', "").to_ascii_lowercase().parse().ok());
    fixed.unwrap_or_else(|| MachineId::from_random(rand::random()))
}

/// Until somebody takes it.
pub(crate) async fn send(guest: Guest, claim: Claim, report: String) {
    let Some(target) = claim.url.as_deref().and_then(|url| url.strip_prefix("https://")?.parse().ok()) else {
        return;
    };
    loop {
        if let Ok((200..=499, _)) = post(target, guest.source(), report.clone()).await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
