//! Which server, which project, which member of a cluster; and what instances there have without us.

use std::collections::HashMap;
use std::time::Duration;

use firstlight_shared::text::escape;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Incus;
use super::client::Client;
use super::client::endpoint::instance::Instance;
use super::client::endpoint::network::ReadNetwork;
use super::client::endpoint::project::ReadProfile;
use super::client::verdict::{Class, Code};
use super::golden::is_export;
use super::wanted::{Base, Wanted};
use crate::backend::{GuestPlan, Place, Placement};
use crate::outcome::Fault;

/// So long what was read of profiles and networks counts: the stages of one guest, or of many at once, need not read it
/// again and again.
const FRESH: Duration = Duration::from_secs(5);

/// What was read a moment ago, by remote, project and the plan's bridges.
#[derive(Debug, Default)]
pub(super) struct Bases(Mutex<HashMap<Asked, (Instant, Base)>>);

type Asked = (String, String, Vec<String>);

impl Incus {
    /// # Errors
    /// No remote has that name.
    pub(super) fn site(&self, place: &Place) -> Result<Client, Fault> {
        let named = place.remote.as_deref();
        let found = match named {
            None => self.remotes.first(),
            Some(name) => self.remotes.iter().find(|remote| remote.remote() == name),
        };
        let Some(client) = found else {
            let known: Vec<&str> = self.remotes.iter().map(Client::remote).collect();
            let shown = escape(named.unwrap_or_default(), 60);
            return Err(Fault::new(
                "no-such-remote",
                format!("remote: there is no `{shown}` here, but {}", known.join(", ")),
            )
            .with_hint("[[incus.remote]] of the companion's configuration makes one: see docs/incus.md"));
        };
        let client = match &place.project {
            Some(project) => client.in_project(project),
            None => client.clone(),
        };
        self.ears.listen(&client);
        Ok(client.on_member(place.node.as_deref()))
    }

    /// What instances of this plan have without us.
    pub(super) async fn base(&self, client: &Client, plan: &GuestPlan) -> Result<Base, Fault> {
        let bridges = plan.nics.iter().filter_map(|nic| nic.bridge.clone());
        self.base_over(client, bridges.chain(self.defaults.network.clone()).collect()).await
    }

    pub(super) async fn base_over(&self, client: &Client, mut bridges: Vec<String>) -> Result<Base, Fault> {
        bridges.sort();
        bridges.dedup();
        let key = (client.remote().to_owned(), client.project().to_owned(), bridges);
        let mut bases = self.bases.0.lock().await;
        if let Some((read, base)) = bases.get(&key)
            && read.elapsed() < FRESH
        {
            return Ok(base.clone());
        }
        let base = self.read_base(client, &key.2).await?;
        bases.retain(|_, (read, _)| read.elapsed() < FRESH);
        bases.insert(key, (Instant::now(), base.clone()));
        Ok(base)
    }

    async fn read_base(&self, client: &Client, bridges: &[String]) -> Result<Base, Fault> {
        let mut base = Base::default();
        for name in &self.defaults.profiles {
            let profile =
                client.send(&ReadProfile { name: name.clone() }).await.map_err(|error| {
                    match error.class {
                        Class::Gone | Class::Rejected(Code::NoProfile) => Fault::new(
                            Code::NoProfile.as_str(),
                            format!("project {} has no profile `{name}`", client.project()),
                        )
                        .with_hint("incus.profiles names those that instances get"),
                        _ => Fault::from(&error),
                    }
                })?;
            base.config.extend(profile.config.0);
            base.devices.extend(profile.devices);
        }
        for bridge in bridges {
            // What Incus does not know, or may not tell us of, is a bridge of the host.
            match client.send(&ReadNetwork { name: bridge.clone() }).await {
                Ok(network) if network.managed => base.managed.push(bridge.clone()),
                Ok(_) => {}
                Err(error)
                    if matches!(
                        error.class,
                        Class::Gone | Class::Denied | Class::Rejected(Code::NoNetwork)
                    ) => {}
                Err(error) => return Err(Fault::from(&error)),
            }
        }
        Ok(base)
    }

    /// What the guest shall be. `there`: the instance as it is, for one that comes out of an export.
    pub(super) async fn wanted(
        &self,
        client: &Client,
        placement: &Placement,
        there: Option<&Instance>,
    ) -> Result<Wanted, Fault> {
        let mut base = self.base(client, &placement.plan).await?;
        if let Some(instance) = there.filter(|_| is_export(&placement.plan)) {
            base.config = instance.expanded_config.0.clone();
            base.devices = instance.expanded_devices.clone();
        }
        Wanted::of(placement, &base, &self.defaults)
    }
}

/// The instance that a placement is about.
pub(super) fn name_of(placement: &Placement) -> &str {
    placement.plan.name.as_str()
}
