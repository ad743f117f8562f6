//! Whether guests can be made on these servers as the configuration has it: what there is (`facts`), and what follows
//! (`findings`). Changes nothing anywhere.

mod access;
mod facts;
mod findings;
mod project;
mod storage;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use self::facts::Collector;
use super::client::SettingsError;
use super::golden::kind;
use super::settings::IncusConfig;
use crate::backend::findings::Findings;
use crate::backend::{GuestPlan, Kind};

/// What is asked of one project of one server: by the guests of a spec, or by none in particular.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Asks {
    /// Guests are named: what stands against them fails, and is no mere warning.
    of_guests: bool,
    kinds: Vec<Kind>,
    /// Of nics; none: the configuration's, or the profiles' own.
    bridges: BTreeSet<String>,
    /// Of root disks and mounts; none: the configuration's, or the profiles' own.
    pools: BTreeSet<String>,
    volumes: bool,
    members: bool,
    goldens: BTreeSet<String>,
}

impl Asks {
    fn of(plans: &[&GuestPlan]) -> Self {
        let mut asks = Self { of_guests: !plans.is_empty(), ..Self::default() };
        for plan in plans {
            let kind = match kind(plan) {
                super::client::endpoint::instance::Kind::Container => Kind::Lxc,
                super::client::endpoint::instance::Kind::VirtualMachine => Kind::Vm,
            };
            if !asks.kinds.contains(&kind) {
                asks.kinds.push(kind);
            }
            asks.bridges.extend(plan.nics.iter().filter_map(|nic| nic.bridge.clone()));
            asks.pools.extend(plan.place.storage.clone());
            asks.pools.extend(plan.mounts.iter().filter_map(|mount| mount.storage.clone()));
            asks.volumes |= !plan.mounts.is_empty();
            asks.members |= plan.place.node.is_some();
            asks.goldens.insert(plan.golden.clone());
        }
        asks
    }
}

/// Looks at every remote, for these guests, or for what guests with the configuration's defaults need. `progress` hears
/// what is looked at next.
///
/// # Errors
/// The settings cannot be used; whatever a server says is a finding.
pub async fn examine(
    config: &IncusConfig,
    plans: Option<&[GuestPlan]>,
    progress: &mut (dyn FnMut(&str) + Send),
) -> Result<Findings, SettingsError> {
    let facts = Collector::new(config, progress)?.collect(plans.unwrap_or_default()).await;
    Ok(findings::judge(&facts))
}
