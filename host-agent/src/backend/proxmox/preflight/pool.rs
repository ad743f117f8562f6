//! Whether the plan's pool is there, and guests may be made in it.

use firstlight_shared::text::escape;

use super::super::Proxmox;
use super::super::client::endpoint::access::{ReadPermissions, ReadPool};
use super::super::client::verdict::{ApiError, Class, Code};
use crate::backend::GuestPlan;
use crate::outcome::Fault;

/// What the token is told of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct PoolFacts {
    /// None: this token is not told (it has no Pool.Audit on it).
    there: Option<bool>,
    /// VM.Allocate on the pool.
    allocates: bool,
}

impl Proxmox {
    /// # Errors
    /// The pool is not there, or the token may make no guests in it; or there is no answer.
    pub(super) async fn check_pool(&self, plan: &GuestPlan) -> Result<(), Fault> {
        let Some(pool) = plan.place.pool.as_deref().or(self.defaults.pool.as_deref()) else { return Ok(()) };
        let facts = self.cluster.pool_facts(self.joins(), pool, self.ask_about_pool(pool)).await?;
        if facts.there != Some(false) && !facts.allocates {
            // What a token may do with this number it may do in any pool.
            let vmid = plan.place.vmid.unwrap_or(*self.defaults.vmids.start());
            let path = format!("/vms/{vmid}");
            if self.ask(&ReadPermissions { path: Some(path.clone()) }).await?.has(&path, "VM.Allocate") {
                return Ok(());
            }
        }
        judge(pool, facts)
    }

    async fn ask_about_pool(&self, pool: &str) -> Result<PoolFacts, Fault> {
        let there = match self.client.send(&ReadPool { pool: pool.to_owned() }).await {
            Ok(_) => Some(true),
            Err(ApiError { class: Class::Rejected { code: Code::NoPool, .. }, .. }) => Some(false),
            Err(ApiError { class: Class::Denied { .. } | Class::Rejected { .. }, .. }) => None,
            Err(error) => return Err(Fault::from(&error)),
        };
        let path = format!("/pool/{pool}");
        let granted = self.ask(&ReadPermissions { path: Some(path.clone()) }).await?;
        Ok(PoolFacts { there, allocates: granted.has(&path, "VM.Allocate") })
    }
}

fn judge(pool: &str, facts: PoolFacts) -> Result<(), Fault> {
    let shown = escape(pool, 60);
    match facts {
        PoolFacts { there: Some(false), .. } => {
            Err(Fault::new("no-pool", format!("pool: the cluster has no `{shown}`")).with_hint(format!(
                "`pveum pool list` on a node shows those that it has, `pveum pool add {shown}` makes one"
            )))
        }
        PoolFacts { allocates: true, .. } => Ok(()),
        PoolFacts { there, .. } => {
            let or_not = if there.is_none() { ", or it is not there" } else { "" };
            Err(Fault::new(
                "proxmox-denied",
                format!("pool: the token may make no guests in `{shown}`{or_not}: it has no VM.Allocate on /pool/{shown}"),
            )
            .with_hint("`firstlight doctor --spec FILE` names all that is missing, with the lines that grant it"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_has_to_be_there_and_to_take_guests() {
        for (there, allocates, said) in [
            (Some(true), true, ""),
            (None, true, ""),
            (Some(false), true, "no-pool pool: the cluster has no `lab`"),
            (Some(false), false, "no-pool"),
            (Some(true), false, "proxmox-denied pool: the token may make no guests in `lab`: it has"),
            (None, false, "proxmox-denied pool: the token may make no guests in `lab`, or it is not there"),
        ] {
            let found = judge("lab", PoolFacts { there, allocates }).err();
            let found = found.map(|fault| format!("{} {}", fault.code, fault.message)).unwrap_or_default();
            assert!(found.starts_with(said) && found.is_empty() == said.is_empty(), "{found}");
        }
    }
}
