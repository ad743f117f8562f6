//! What runs inside guests: the seam where [`super::real`] ones can take the place of scripted ones.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::IpAddr;
use std::time::Duration;

use firstlight_shared::beacon::{Beacon, Form, Reason, State, encode};
use serde_json::Value;

use super::call::Moment;
use super::guest::Kind;
use super::profile::Profile;

/// What a guest is booted with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    pub id: u32,
    pub kind: Kind,
    /// The archive's volume, where it was restored from one.
    pub archive: Option<String>,
    pub hostname: String,
    /// Of the first network device, where there is one.
    pub mac: Option<String>,
    /// Names and values that reach the first process.
    pub env: Vec<(String, String)>,
    /// The machine's UUID and serial, where it has them.
    pub uuid: Option<String>,
    pub serial: Option<String>,
    /// Volumes and their places in the guest.
    pub mounts: Vec<(String, String)>,
}

/// An interface as the guest has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    pub name: String,
    pub mac: String,
    /// With the lengths of their prefixes.
    pub addresses: Vec<(IpAddr, u8)>,
}

/// A command's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    pub code: i32,
    pub output: String,
    pub errors: String,
}

/// Boots and stops guests, and looks into them. All of it is called with the world locked: it must not wait.
pub trait Guests: Debug + Send {
    /// It is being unpacked from this archive, in place of whatever it was before.
    fn restore(&mut self, _id: u32, _archive: &str) {}

    /// It is no more, with its disks.
    fn remove(&mut self, _id: u32) {}

    /// # Errors
    /// The words that end the start's task.
    fn boot(&mut self, boot: &Boot, now: Moment) -> Result<(), String>;

    /// Ends it; one that does not run stays as it is.
    fn stop(&mut self, id: u32);

    fn interfaces(&self, id: u32, now: Moment) -> Vec<Interface>;

    /// Whether it goes down when it is asked to.
    fn obeys(&self, id: u32, now: Moment) -> bool;

    /// Whether the QEMU agent answers.
    fn agent_answers(&self, id: u32, now: Moment) -> bool;

    /// Mounted ones, as the QEMU agent tells of them (`guest-get-fsinfo`).
    fn filesystems(&self, _id: u32) -> Vec<Value> {
        Vec::new()
    }

    fn read_file(&self, id: u32, path: &str) -> Option<Vec<u8>>;

    /// False if its folder is missing.
    fn write_file(&mut self, id: u32, path: &str, content: &[u8]) -> bool;

    /// None if there is no such program.
    fn run(&mut self, id: u32, command: &[String], input: &str) -> Option<Finished>;
}

/// Guests that only pretend: links, addresses and beacon come after set times.
#[derive(Debug)]
pub struct Scripted {
    pub script: Script,
    /// Scripts of single guests.
    pub scripts: BTreeMap<u32, Script>,
    /// What machines have mounted.
    pub filesystems: Vec<Value>,
    running: BTreeMap<u32, Running>,
}

/// What a pretended guest does, each after its start; never, where there is no time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The start itself fails with these words.
    pub fails: Option<String>,
    pub link: Option<Duration>,
    pub address: Option<Duration>,
    pub agent: Option<Duration>,
    pub beacon: Option<(Duration, Beacon)>,
}

#[derive(Debug)]
struct Running {
    boot: Boot,
    since: Moment,
    files: BTreeMap<String, Vec<u8>>,
}

impl Scripted {
    /// Guests that come up well, at the profile's times.
    pub fn of(profile: &Profile) -> Self {
        let beacon = Beacon { state: State::IdentityDone, reason: Reason::None, report: None, key: None };
        let script = Script {
            fails: None,
            link: Some(profile.link),
            address: Some(profile.address),
            agent: Some(profile.agent),
            beacon: Some((profile.beacon, beacon)),
        };
        Self { script, scripts: BTreeMap::new(), filesystems: Vec::new(), running: BTreeMap::new() }
    }

    fn script(&self, id: u32) -> &Script {
        self.scripts.get(&id).unwrap_or(&self.script)
    }
}

impl Guests for Scripted {
    fn boot(&mut self, boot: &Boot, now: Moment) -> Result<(), String> {
        if let Some(words) = &self.script(boot.id).fails {
            return Err(words.clone());
        }
        self.running.insert(boot.id, Running { boot: boot.clone(), since: now, files: files(boot) });
        Ok(())
    }

    fn stop(&mut self, id: u32) {
        self.running.remove(&id);
    }

    fn interfaces(&self, id: u32, now: Moment) -> Vec<Interface> {
        let Some(running) = self.running.get(&id) else { return Vec::new() };
        let script = self.script(id);
        let reached = |time: Option<Duration>| time.is_some_and(|time| now >= running.since + time);
        let mut lo = vec![(IpAddr::from([127, 0, 0, 1]), 8)];
        if let Some((time, beacon)) = &script.beacon
            && reached(Some(*time))
        {
            let pieces = encode(beacon, Form::Ipv6, 0).into_iter();
            lo.extend(pieces.map(|piece| (piece, Form::Ipv6.prefix())));
        }
        lo.push((IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), 128));
        let mut interfaces =
            vec![Interface { name: "lo".into(), mac: "00:00:00:00:00:00".into(), addresses: lo }];
        if let Some(mac) = &running.boot.mac {
            let mut addresses = Vec::new();
            if reached(script.address) {
                addresses.push((leased(id), 16));
            }
            if reached(script.link) {
                addresses.extend(link_local(mac).map(|address| (address, 64)));
            }
            interfaces.push(Interface { name: "eth0".into(), mac: mac.to_lowercase(), addresses });
        }
        interfaces
    }

    /// Once it has an address there is a system that listens.
    fn obeys(&self, id: u32, now: Moment) -> bool {
        let (running, time) = (self.running.get(&id), self.script(id).address);
        running.zip(time).is_some_and(|(running, time)| now >= running.since + time)
    }

    fn agent_answers(&self, id: u32, now: Moment) -> bool {
        let (running, time) = (self.running.get(&id), self.script(id).agent);
        running.zip(time).is_some_and(|(running, time)| now >= running.since + time)
    }

    fn filesystems(&self, id: u32) -> Vec<Value> {
        if self.running.contains_key(&id) { self.filesystems.clone() } else { Vec::new() }
    }

    fn read_file(&self, id: u32, path: &str) -> Option<Vec<u8>> {
        self.running.get(&id)?.files.get(path).cloned()
    }

    fn write_file(&mut self, id: u32, path: &str, content: &[u8]) -> bool {
        let Some(running) = self.running.get_mut(&id) else { return false };
        let known = ["/run", "/run/firstlight", "/tmp", "/etc", "/root", "/var/lib"];
        let fits = path.rsplit_once('/').is_some_and(|(folder, _)| known.contains(&folder));
        if fits {
            running.files.insert(path.into(), content.to_vec());
        }
        fits
    }

    fn run(&mut self, id: u32, command: &[String], _input: &str) -> Option<Finished> {
        let finished = |code, output: String| Finished { code, output, errors: String::new() };
        self.running.get(&id)?;
        match command.first().map(String::as_str)? {
            "/bin/true" => Some(finished(0, String::new())),
            "/bin/false" => Some(finished(1, String::new())),
            "/bin/echo" => Some(finished(0, format!("{}\n", command[1..].join(" ")))),
            _ => None,
        }
    }
}

/// What machines call themselves inside: nothing there follows the configuration.
const IMAGE_NAME: &str = "golden-vm";

/// Files that tell whether the guest got what the host meant it to get.
fn files(boot: &Boot) -> BTreeMap<String, Vec<u8>> {
    let environment = boot.env.iter().map(|(name, value)| format!("{name}={value}\0")).collect::<String>();
    let seed = match boot.kind {
        Kind::Lxc => {
            boot.env.iter().find(|(name, _)| name == "container_uuid").map(|(_, value)| value.as_str())
        }
        Kind::Qemu => boot.uuid.as_deref(),
    };
    let machine_id = seed.map_or_else(|| format!("{:032x}", boot.id), |uuid| uuid.replace('-', ""));
    let name = if boot.kind == Kind::Qemu { IMAGE_NAME } else { &boot.hostname };
    let mut files = BTreeMap::from([
        ("/etc/hostname".to_owned(), format!("{name}\n").into_bytes()),
        ("/etc/machine-id".to_owned(), format!("{machine_id}\n").into_bytes()),
        ("/proc/1/environ".to_owned(), environment.into_bytes()),
    ]);
    for (name, value) in [("product_uuid", &boot.uuid), ("product_serial", &boot.serial)] {
        if let Some(value) = value {
            files.insert(format!("/sys/class/dmi/id/{name}"), format!("{value}\n").into_bytes());
        }
    }
    files
}

/// The pretended DHCP server's lease: always the same for the same guest.
fn leased(id: u32) -> IpAddr {
    let [_, _, high, low] = id.to_be_bytes();
    IpAddr::from([10, 78, high, low])
}

fn link_local(mac: &str) -> Option<IpAddr> {
    let bytes: Vec<u8> = mac.split(':').filter_map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    let [a, b, c, d, e, f] = bytes.try_into().ok()?;
    Some(IpAddr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f]))
}

#[cfg(test)]
mod tests {
    use firstlight_shared::beacon::decode;

    use super::*;

    #[test]
    fn a_scripted_guest_shows_link_then_address_then_beacon() {
        let mut guests = Scripted::of(&Profile::measured());
        let boot = Boot {
            id: 104,
            kind: Kind::Lxc,
            archive: None,
            hostname: "x".into(),
            mac: Some("BC:24:11:F3:4D:7B".into()),
            env: Vec::new(),
            uuid: None,
            serial: None,
            mounts: Vec::new(),
        };
        guests.boot(&boot, Moment::ZERO).unwrap();
        for (millis, addresses, beacon) in [(0, 0, false), (400, 1, false), (5100, 2, false), (5600, 2, true)]
        {
            let seen = guests.interfaces(104, Duration::from_millis(millis));
            assert_eq!(seen[1].addresses.len(), addresses, "after {millis} ms");
            let lo: Vec<IpAddr> = seen[0].addresses.iter().map(|(address, _)| *address).collect();
            assert_eq!(decode(&lo).unwrap().is_some(), beacon, "after {millis} ms");
        }
        let seen = guests.interfaces(104, Duration::from_secs(1));
        assert_eq!(seen[1].addresses[0].0.to_string(), "fe80::be24:11ff:fef3:4d7b");
        guests.stop(104);
        assert!(guests.interfaces(104, Duration::from_secs(9)).is_empty());
    }
}
