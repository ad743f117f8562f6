//! Memory of what runs where a guest would: by what instances may take, ours or not.

use super::client::Client;
use super::client::endpoint::instance::{Instance, ListInstances};
use super::client::endpoint::server::ReadResources;
use super::client::endpoint::state::ReadState;
use super::client::verdict::Class;
use super::look::has_no_state;
use super::wanted::Config;
use super::{Incus, stamp};
use crate::backend::{GuestPlan, MemoryInUse, Placement, RunningGuest};
use crate::outcome::Fault;

impl Incus {
    /// Of the instances that the client sees: one that is restricted to projects sees those of its own.
    pub(super) async fn memory_where(&self, plan: &GuestPlan) -> Result<MemoryInUse, Fault> {
        let client = self.site(&plan.place)?;
        let member = plan.place.node.clone();
        let total_bytes = total(&client, member.clone()).await?;
        let all = ListInstances { all_projects: true, ..ListInstances::default() };
        let all = client.send(&all).await.map_err(|error| Fault::from(&error))?;
        let mut guests = Vec::new();
        for instance in all.iter().filter(|one| one.is_running()) {
            let bytes = match limit(&instance.expanded_config, total_bytes) {
                Some(limit) => limit,
                None => used(&client, instance).await?,
            };
            let job = stamp::job_of(&instance.config).map(str::to_owned);
            guests.push(RunningGuest { job, id: None, at: counts_for(&client, instance), bytes });
        }
        let (of, at) = match member {
            Some(member) => (
                format!("member {member} of `{}`", client.remote()),
                format!("node:{}/{member}", client.remote()),
            ),
            None => (format!("the host of `{}`", client.remote()), format!("node:{}", client.remote())),
        };
        let bytes = guests.iter().filter(|guest| guest.at.contains(&at)).map(|guest| guest.bytes).sum();
        Ok(MemoryInUse { of, bytes, total_bytes, guests })
    }

    /// As its own configuration has it. None: it has no limit of its own.
    pub(super) async fn memory_of(&self, placement: &Placement) -> Result<Option<u64>, Fault> {
        let client = self.site(&placement.plan.place)?;
        let instance = self.ours(&client, placement).await?;
        let is_share = |text: &String| text.ends_with('%');
        let total_bytes = match instance.expanded_config.get("limits.memory").is_some_and(is_share) {
            true => total(&client, placement.plan.place.node.clone()).await?,
            false => 0,
        };
        Ok(limit(&instance.expanded_config, total_bytes))
    }
}

/// 0: the client may not ask.
async fn total(client: &Client, member: Option<String>) -> Result<u64, Fault> {
    match client.send(&ReadResources { member }).await {
        Ok(resources) => Ok(resources.memory.total),
        Err(error) if error.class == Class::Denied => Ok(0),
        Err(error) => Err(Fault::from(&error)),
    }
}

fn project_of(instance: &Instance) -> &str {
    if instance.project.is_empty() { "default" } else { &instance.project }
}

/// The server or cluster, the member, and the project.
fn counts_for(client: &Client, instance: &Instance) -> Vec<String> {
    let remote = client.remote();
    vec![
        format!("node:{remote}"),
        format!("node:{remote}/{}", instance.location),
        format!("project:{remote}/{}", project_of(instance)),
    ]
}

/// What it has now; one that has just stopped has none.
async fn used(client: &Client, instance: &Instance) -> Result<u64, Fault> {
    let client = client.in_project(project_of(instance));
    match client.send(&ReadState { name: instance.name.clone() }).await {
        Ok(state) => Ok(u64::try_from(state.memory.usage).unwrap_or_default()),
        Err(error) if has_no_state(error.class) => Ok(0),
        Err(error) => Err(Fault::from(&error)),
    }
}

/// `limits.memory`; of a machine without one, Incus' own 1 GiB is not written anywhere.
fn limit(config: &Config, total: u64) -> Option<u64> {
    let text = config.get("limits.memory").filter(|text| !text.is_empty())?;
    match text.strip_suffix('%') {
        // Of what nobody may tell us: what it has now counts.
        Some(_) if total == 0 => None,
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
        assert_eq!(limit(&config("limits.memory=25%"), 0), None, "nobody tells of what");
    }
}
