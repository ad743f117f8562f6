//! Guests that somebody else made.

use std::net::IpAddr;

use firstlight_shared::ids::GuestName;
use firstlight_shared::text::escape;

use super::Incus;
use super::client::Client;
use super::client::endpoint::instance::{Instance, Kind};
use super::read::read;
use super::wanted::macs_of;
use crate::backend::{Adopted, Allocation, Place, Slot};
use crate::clock::now_ms;
use crate::outcome::Fault;

impl Incus {
    /// By its name, in the first remote's project.
    ///
    /// # Errors
    /// There is no such instance, it has no MAC, or there is no answer.
    pub(super) async fn adopt_instance(&self, name: &str) -> Result<Adopted, Fault> {
        let client = self.site(&Place::default())?;
        let found = if name.is_empty() { None } else { read(&client, name).await? };
        let Some(instance) = found else {
            let message =
                format!("no instance of project {} has the name `{}`", client.project(), escape(name, 80));
            return Err(
                Fault::new("no-such-guest", message).with_hint("`incus list` shows those that are there")
            );
        };
        adopted(&client, &instance)
    }
}

fn adopted(client: &Client, instance: &Instance) -> Result<Adopted, Fault> {
    let name: GuestName = instance.name.to_ascii_lowercase().parse().map_err(|_| {
        let message = format!("the name of `{}` is no host name", escape(&instance.name, 80));
        Fault::new("no-name", message).with_hint("give it one: small letters, digits and `-`")
    })?;
    let macs = macs_of(&instance.expanded_config, &instance.expanded_devices);
    let Some((mac, more_macs)) = macs.split_first() else {
        return Err(Fault::new("no-mac", format!("instance `{name}` has no network interface with a MAC")));
    };
    let addresses = instance.expanded_devices.values().filter_map(|device| device.get("ipv4.address"));
    let addresses = addresses.filter_map(|address| address.parse::<IpAddr>().ok()).collect();
    let (kind, uuid) = match instance.kind {
        Kind::Container => {
            (crate::backend::Kind::Lxc, instance.expanded_config.get("environment.container_uuid"))
        }
        Kind::VirtualMachine => (crate::backend::Kind::Vm, instance.config.get("volatile.uuid")),
    };
    let slot = Slot {
        id: instance.name.clone(),
        node: client.remote().to_owned(),
        uuid: uuid.cloned(),
        since_s: now_ms() / 1000,
    };
    Ok(Adopted {
        name,
        kind: Some(kind),
        allocation: Allocation { mac: *mac, more_macs: more_macs.to_vec(), addresses, slot: Some(slot) },
    })
}
