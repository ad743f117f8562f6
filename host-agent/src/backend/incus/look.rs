//! Looks at guests: their addresses as the server lists them (and with them the beacon), their reports, their consoles.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use firstlight_shared::ids::MacAddress;
use firstlight_shared::paths::REPORT;

use super::client::Client;
use super::client::endpoint::file::{FileKind, ReadConsole, ReadFile};
use super::client::endpoint::instance::Instance;
use super::client::endpoint::state::ReadState;
use super::client::verdict::{Class, Code, Patience};
use super::read::read;
use super::site::name_of;
use super::wanted::{macs_of, nic_names};
use super::{Incus, stamp};
use crate::backend::{GuestPlan, Look, LookBudget, Observed, Placement, leads_somewhere};
use crate::outcome::Fault;

/// A look has the server start a process in the guest's network namespace: some 50 ms of one core, which the guests that
/// boot beside it do not have.
const BUDGET: LookBudget =
    LookBudget { per_second: 10, not_before: Duration::from_millis(300), calm: Duration::ZERO };
/// While the server's events are heard: `instance-ready` and reports come first.
const CALM: Duration = Duration::from_secs(4);
/// In bytes; the intake takes no larger report.
const REPORT_SIZE: usize = 1 << 20;

impl Incus {
    pub(super) fn budget(&self) -> LookBudget {
        LookBudget { calm: if self.ears.all_hear() { CALM } else { Duration::ZERO }, ..BUDGET }
    }

    pub(super) async fn look_at_guest(&self, placement: &Placement) -> Result<Look, Fault> {
        let client = self.site(&placement.plan.place)?.with_patience(Patience::NONE);
        match client.send(&ReadState { name: name_of(placement).to_owned() }).await {
            Ok(state) => Ok(Look { running: state.is_running(), addresses: state.addresses().collect() }),
            Err(error) if has_no_state(error.class) => Ok(Look::default()),
            Err(error) => Err(Fault::from(&error)),
        }
    }

    /// # Errors
    /// The instance is another job's, or there is no answer.
    pub(super) async fn observe_guest(&self, placement: &Placement) -> Result<Observed, Fault> {
        let client = self.site(&placement.plan.place)?;
        let Some(instance) = read(&client, name_of(placement)).await? else {
            return Ok(Observed::default());
        };
        // A guest that somebody else made may be a copy of one of ours, stamp and all.
        if !placement.adopted && stamp::job_of(&instance.config) != Some(&placement.job) {
            let whose = stamp::job_of(&instance.config)
                .map_or("no stamp".to_owned(), |job| format!("the stamp of job {job}"));
            return Err(Fault::new("foreign", format!("instance `{}` carries {whose}", instance.name)));
        }
        let addresses = if instance.is_running() { addresses(&client, &instance).await? } else { Vec::new() };
        Ok(Observed {
            running: instance.is_running(),
            mac: first_mac(&instance),
            addresses,
            mounts: mounts(&instance),
            mounts_unseen: None,
            no_network: has_no_network(&placement.plan, &instance),
        })
    }

    /// None: there is none yet, or the guest does not run.
    pub(super) async fn report_file(&self, placement: &Placement) -> Result<Option<Vec<u8>>, Fault> {
        let client = self.site(&placement.plan.place)?.with_patience(Patience::NONE);
        let file =
            ReadFile { instance: name_of(placement).to_owned(), path: REPORT.to_owned(), most: REPORT_SIZE };
        match client.send(&file).await {
            // The guest is hostile until proven: a link leads wherever it likes.
            Ok(file) if file.kind != FileKind::File => {
                Err(Fault::new("bad-report", format!("{REPORT} in the guest is no file")))
            }
            Ok(file) => Ok(Some(file.content.to_vec())),
            Err(error) => match error.class {
                Class::Gone | Class::Rejected(Code::NoGuestFile | Code::NotRunning | Code::NoAgent) => {
                    Ok(None)
                }
                _ => Err(Fault::from(&error)),
            },
        }
    }

    /// What it said on its console, as far as the server keeps it.
    pub(super) async fn last_words(&self, placement: &Placement, lines: usize) -> Vec<String> {
        let Ok(client) = self.site(&placement.plan.place) else { return Vec::new() };
        let console = ReadConsole { instance: name_of(placement).to_owned() };
        let Ok(said) = client.with_patience(Patience::NONE).send(&console).await else { return Vec::new() };
        last_lines(&String::from_utf8_lossy(&said), lines)
    }
}

fn last_lines(said: &str, lines: usize) -> Vec<String> {
    let said: Vec<&str> = said.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    said[said.len().saturating_sub(lines)..].iter().map(|line| (*line).to_owned()).collect()
}

/// It is gone, or stopped while the server looked.
pub(super) fn has_no_state(class: Class) -> bool {
    matches!(class, Class::Gone | Class::Rejected(Code::NotRunning))
}

async fn addresses(client: &Client, instance: &Instance) -> Result<Vec<IpAddr>, Fault> {
    let client = client.with_patience(Patience::NONE);
    match client.send(&ReadState { name: instance.name.clone() }).await {
        Ok(state) => Ok(state.addresses().filter(leads_somewhere).collect()),
        Err(error) if has_no_state(error.class) => Ok(Vec::new()),
        Err(error) => Err(Fault::from(&error)),
    }
}

/// Neither its plan nor its profiles give it an interface.
fn has_no_network(plan: &GuestPlan, instance: &Instance) -> bool {
    plan.nics.is_empty() && nic_names(&instance.expanded_devices).is_empty()
}

fn first_mac(instance: &Instance) -> Option<MacAddress> {
    macs_of(&instance.expanded_config, &instance.expanded_devices).into_iter().next()
}

/// Where volumes are, beside the root disk.
fn mounts(instance: &Instance) -> Vec<PathBuf> {
    let disks = instance.expanded_devices.values().filter(|device| {
        device.get("type").is_some_and(|kind| kind == "disk") && device.contains_key("pool")
    });
    let paths = disks.filter_map(|device| device.get("path"));
    paths.filter(|path| *path != "/").map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn volumes_and_the_first_mac_are_read_from_the_instance() {
        let instance = json!({
            "name": "web-01", "type": "container", "status": "Running",
            "expanded_config": { "volatile.eth0.hwaddr": "10:66:6a:00:00:01" },
            "expanded_devices": {
                "eth0": { "type": "nic", "network": "lab" },
                "root": { "type": "disk", "path": "/", "pool": "default" },
                "firstlight0": { "type": "disk", "path": "/srv/data", "pool": "default", "source": "x" },
                "host": { "type": "disk", "path": "/mnt", "source": "/srv" },
            },
        });
        let instance: Instance = serde_json::from_value(instance).unwrap();
        assert_eq!(first_mac(&instance).unwrap().to_string(), "10:66:6a:00:00:01");
        assert_eq!(mounts(&instance), [PathBuf::from("/srv/data")]);
    }

    #[test]
    fn the_console_ends_with_its_last_lines() {
        assert_eq!(last_lines("a\r\nb\n\nc\n", 2), ["b", "c"]);
        assert_eq!(last_lines("", 2), Vec::<String>::new());
    }
}
