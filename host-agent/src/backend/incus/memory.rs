//! Memory of what runs where a guest would: by what instances may take, ours or not.

use super::Incus;
use super::client::Client;
use super::client::endpoint::instance::{Instance, ListInstances};
use super::client::endpoint::server::ReadResources;
use super::client::endpoint::state::ReadState;
use super::client::verdict::Class;
use super::wanted::Config;
use crate::backend::{GuestPlan, MemoryInUse};
use crate::outcome::Fault;

impl Incus {
    /// None: the client may not ask what the host has, as one that is restricted to projects.
    pub(super) async fn memory_where(&self, plan: &GuestPlan) -> Result<Option<MemoryInUse>, Fault> {
        let client = self.site(&plan.place)?;
        let member = plan.place.node.clone();
        let total_bytes = match client.send(&ReadResources { member: member.clone() }).await {
            Ok(resources) => resources.memory.total,
            Err(error) if error.class == Class::Denied => return Ok(None),
            Err(error) => return Err(Fault::from(&error)),
        };
        let all = ListInstances { all_projects: true, ..ListInstances::default() };
        let all = client.send(&all).await.map_err(|error| Fault::from(&error))?;
        let mut bytes = 0_u64;
        for instance in all.iter().filter(|one| one.is_running() && is_there(one, member.as_deref())) {
            let limit = limit(&instance.expanded_config, total_bytes);
            bytes = bytes.saturating_add(match limit {
                Some(limit) => limit,
                None => used(&client, instance).await?,
            });
        }
        let of = match member {
            Some(member) => format!("member {member} of `{}`", client.remote()),
            None => format!("the host of `{}`", client.remote()),
        };
        Ok(Some(MemoryInUse { of, bytes, total_bytes }))
    }
}

fn is_there(instance: &Instance, member: Option<&str>) -> bool {
    member.is_none_or(|member| instance.location == member)
}

/// What it has now; one that has just stopped has none.
async fn used(client: &Client, instance: &Instance) -> Result<u64, Fault> {
    let client = client.in_project(if instance.project.is_empty() { "default" } else { &instance.project });
    match client.send(&ReadState { name: instance.name.clone() }).await {
        Ok(state) => Ok(u64::try_from(state.memory.usage).unwrap_or_default()),
        Err(error) if error.class == Class::Gone => Ok(0),
        Err(error) => Err(Fault::from(&error)),
    }
}

/// `limits.memory`; of a machine without one, Incus' own 1 GiB is not written anywhere.
fn limit(config: &Config, total: u64) -> Option<u64> {
    let text = config.get("limits.memory").filter(|text| !text.is_empty())?;
    match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<u64>().ok().map(|percent| total / 100 * percent.min(100)),
        None => bytes(text),
    }
}

/// A number with or without one of Incus' suffixes.
/// Source: shared/units of Incus.
fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let unit: u64 = match suffix.trim() {
        "" | "B" | "bytes" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::super::wanted::testing::config;
    use super::*;

    #[test]
    fn limits_are_read_as_incus_writes_them() {
        for (text, expected) in [
            ("512MiB", Some(512 << 20)),
            ("1GiB", Some(1 << 30)),
            ("1GB", Some(1_000_000_000)),
            ("536870912", Some(512 << 20)),
            ("25%", Some(250)),
            ("", None),
            ("lots", None),
        ] {
            let config = Config::from([("limits.memory".to_owned(), text.to_owned())]);
            assert_eq!(limit(&config, 1000), expected, "{text}");
        }
        assert_eq!(limit(&config("limits.cpu=1"), 1000), None);
    }
}
