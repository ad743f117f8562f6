//! What there is: asks the servers, and judges nothing. Reads only.

use std::time::Duration;

use super::Asks;
use crate::backend::incus::client::endpoint::certificate::{ReadCertificate, Trusted};
use crate::backend::incus::client::endpoint::network::{Network, ReadNetwork};
use crate::backend::incus::client::endpoint::project::{
    ListProjects, Profile, Project, ProjectState, ReadProfile, ReadProject, ReadProjectState,
};
use crate::backend::incus::client::endpoint::server::{ReadServer, Server};
use crate::backend::incus::client::endpoint::storage::{Pool, ReadPool, ReadPoolResources, Space};
use crate::backend::incus::client::link::{self, Place, present};
use crate::backend::incus::client::verdict::{ApiError, Patience};
use crate::backend::incus::client::{Client, Settings, SettingsError};
use crate::backend::incus::golden::{Golden, file_mark, golden, image};
use crate::backend::incus::settings::{Defaults, IncusConfig};
use crate::backend::incus::wanted::{Devices, nic_names, root};
use crate::backend::incus::{Incus, export};
use crate::backend::link::pin::{Fingerprint, Pin};
use crate::backend::link::tls::ends_s;
use crate::backend::{Backend as _, GuestPlan};
use crate::clock::now_ms;
use crate::outcome::Fault;

/// How long a server may take to show its certificate.
const LIMIT: Duration = Duration::from_secs(5);

/// An answer, or why there is none.
pub(super) type Asked<T> = Result<T, ApiError>;

#[derive(Debug)]
pub(super) struct Facts {
    pub(super) remotes: Vec<RemoteFacts>,
    /// Guests of the spec, and what `up` would say to each.
    pub(super) preflights: Vec<(String, Result<(), Fault>)>,
}

#[derive(Debug)]
pub(super) struct RemoteFacts {
    pub(super) name: String,
    /// The socket's path, or `https://HOST:PORT`.
    pub(super) address: String,
    /// The configured one.
    pub(super) project: String,
    /// None: its socket.
    pub(super) tls: Option<TlsFacts>,
    pub(super) server: Asked<Server>,
    /// When it was asked, seconds since 1970.
    pub(super) asked_s: i64,
    /// Of a server that trusts us.
    pub(super) known_as: Option<Asked<Trusted>>,
    pub(super) visible: Option<Asked<Vec<Project>>>,
    pub(super) projects: Vec<ProjectFacts>,
}

#[derive(Debug)]
pub(super) struct TlsFacts {
    pub(super) pin: Pin,
    pub(super) own: Option<Fingerprint>,
    /// The last second of our certificate.
    pub(super) own_ends_s: Option<i64>,
    /// The last second of the certificate that the server shows; None: it showed none that can be read.
    pub(super) server_ends_s: Option<i64>,
    pub(super) proxied: bool,
}

#[derive(Debug)]
pub(super) struct ProjectFacts {
    pub(super) name: String,
    pub(super) asks: Asks,
    pub(super) project: Asked<Project>,
    pub(super) state: Asked<ProjectState>,
    pub(super) profiles: Vec<(String, Asked<Profile>)>,
    pub(super) defaults: Defaults,
    pub(super) pools: Vec<(String, Asked<Pool>, Asked<Space>)>,
    pub(super) networks: Vec<(String, Asked<Network>)>,
    /// What they are, in words.
    pub(super) goldens: Vec<(String, Result<String, Fault>)>,
    pub(super) events: Result<(), String>,
}

impl ProjectFacts {
    /// Of the profiles that could be read, the later over the earlier.
    pub(super) fn devices(&self) -> Devices {
        let read = self.profiles.iter().filter_map(|(_, profile)| profile.as_ref().ok());
        read.flat_map(|profile| profile.devices.clone()).collect()
    }
}

pub(super) struct Collector<'a> {
    remotes: Vec<Settings>,
    defaults: Defaults,
    /// As the companion would make it.
    backend: Incus,
    progress: &'a mut (dyn FnMut(&str) + Send),
}

impl<'a> Collector<'a> {
    pub(super) fn new(
        config: &IncusConfig,
        progress: &'a mut (dyn FnMut(&str) + Send),
    ) -> Result<Self, SettingsError> {
        // A person waits: an error is as good now as in a minute.
        let hasty = |remote: &Settings| Settings { patience: Patience::NONE, ..remote.clone() };
        let remotes: Vec<Settings> = config.remotes.iter().map(hasty).collect();
        let backend = Incus::new(IncusConfig { remotes: remotes.clone(), ..config.clone() })?;
        Ok(Self { remotes, defaults: config.defaults.clone(), backend, progress })
    }

    pub(super) async fn collect(mut self, plans: &[GuestPlan]) -> Facts {
        let mut remotes = Vec::new();
        for (number, settings) in self.remotes.clone().into_iter().enumerate() {
            let is_here = |plan: &&GuestPlan| match &plan.place.remote {
                Some(remote) => *remote == settings.name,
                None => number == 0,
            };
            let here: Vec<&GuestPlan> = plans.iter().filter(is_here).collect();
            // The same settings have made a backend already: what is wrong with them was said.
            let Ok(client) = Client::new(settings.clone()) else { continue };
            remotes.push(self.remote(&settings, &client, &here).await);
        }
        let mut preflights = Vec::new();
        for plan in plans {
            (self.progress)(&format!("trying {}", plan.name));
            preflights.push((plan.name.to_string(), self.backend.preflight(plan).await));
        }
        Facts { remotes, preflights }
    }

    async fn remote(&mut self, settings: &Settings, client: &Client, plans: &[&GuestPlan]) -> RemoteFacts {
        (self.progress)(&format!("asking {} ({})", settings.name, client.address()));
        let tls = match &settings.place {
            Place::Socket(_) => None,
            Place::Server(server) => Some(tls(server).await),
        };
        let asked_s = i64::try_from(now_ms() / 1000).unwrap_or(i64::MAX);
        let server = client.send(&ReadServer).await;
        let mut facts = RemoteFacts {
            name: settings.name.clone(),
            address: client.address(),
            project: settings.project.clone(),
            tls,
            server,
            asked_s,
            known_as: None,
            visible: None,
            projects: Vec::new(),
        };
        if !facts.server.as_ref().is_ok_and(Server::is_trusted) {
            return facts;
        }
        if let Some(own) = facts.tls.as_ref().and_then(|tls| tls.own) {
            facts.known_as = Some(client.send(&ReadCertificate { fingerprint: own.plain() }).await);
        }
        facts.visible = Some(client.send(&ListProjects).await);
        for name in projects(&settings.project, plans) {
            (self.progress)(&format!("looking at project {name} of {}", settings.name));
            let of_project =
                |plan: &&&GuestPlan| plan.place.project.as_ref().unwrap_or(&settings.project) == &name;
            let plans: Vec<&GuestPlan> = plans.iter().filter(of_project).copied().collect();
            facts.projects.push(self.project(&client.in_project(&name), &plans).await);
        }
        facts
    }

    async fn project(&mut self, client: &Client, plans: &[&GuestPlan]) -> ProjectFacts {
        let name = client.project().to_owned();
        let mut profiles = Vec::new();
        for profile in &self.defaults.profiles {
            profiles.push((profile.clone(), client.send(&ReadProfile { name: profile.clone() }).await));
        }
        let mut facts = ProjectFacts {
            asks: Asks::of(plans),
            project: client.send(&ReadProject { name: name.clone() }).await,
            state: client.send(&ReadProjectState { name: name.clone() }).await,
            profiles,
            defaults: self.defaults.clone(),
            pools: Vec::new(),
            networks: Vec::new(),
            goldens: Vec::new(),
            events: client.try_events().await,
            name,
        };
        for pool in pools(&facts) {
            let read = client.send(&ReadPool { name: pool.clone() }).await;
            let space = client.send(&ReadPoolResources { pool: pool.clone() }).await;
            facts.pools.push((pool, read, space.map(|resources| resources.space)));
        }
        for network in networks(&facts) {
            let read = client.send(&ReadNetwork { name: network.clone() }).await;
            facts.networks.push((network, read));
        }
        for plan in plans {
            if !facts.goldens.iter().any(|(name, _)| *name == plan.golden) {
                (self.progress)(&format!("reading {}", plan.golden));
                facts.goldens.push((plan.golden.clone(), what_is(client, plan).await));
            }
        }
        facts
    }
}

async fn tls(server: &link::Server) -> TlsFacts {
    let presented = present(&server.address, server.proxy.as_ref(), LIMIT).await.ok();
    TlsFacts {
        pin: server.pin.clone(),
        own: server.certificate.fingerprint(),
        own_ends_s: server.certificate.leaf().and_then(ends_s),
        server_ends_s: presented.and_then(|presented| ends_s(presented.chain.first()?)),
        proxied: server.proxy.is_some(),
    }
}

/// The configured one, and those that guests name; only these, where guests are asked for.
fn projects(configured: &str, plans: &[&GuestPlan]) -> Vec<String> {
    let named = plans.iter().map(|plan| plan.place.project.clone().unwrap_or_else(|| configured.to_owned()));
    let mut projects: Vec<String> = named.collect();
    if projects.is_empty() {
        projects.push(configured.to_owned());
    }
    projects.sort();
    projects.dedup();
    projects
}

fn pools(facts: &ProjectFacts) -> Vec<String> {
    let devices = facts.devices();
    let of_profiles = || root(&devices).and_then(|(_, device)| device.get("pool").cloned());
    let mut pools = facts.asks.pools.clone();
    pools.extend(facts.defaults.pool.clone().or_else(of_profiles));
    pools.into_iter().collect()
}

fn networks(facts: &ProjectFacts) -> Vec<String> {
    let devices = facts.devices();
    let of_profiles = nic_names(&devices).into_iter().filter_map(|name| network_of(&devices[name]));
    let mut networks = facts.asks.bridges.clone();
    networks.extend(facts.defaults.network.clone());
    networks.extend(of_profiles);
    networks.into_iter().collect()
}

/// Of an interface: Incus' own network, or a bridge of the host.
pub(super) fn network_of(device: &std::collections::BTreeMap<String, String>) -> Option<String> {
    device.get("network").or_else(|| device.get("parent")).cloned()
}

async fn what_is(client: &Client, plan: &GuestPlan) -> Result<String, Fault> {
    match golden(plan) {
        Golden::Image(name) => {
            let image = image(client, &name).await?;
            let short = image.fingerprint.get(..12).unwrap_or(&image.fingerprint);
            Ok(format!("image {short} of the server, {}, {} MiB", image.architecture, image.size >> 20))
        }
        Golden::Export(file) => {
            let kind = export::kind(&file).await?;
            Ok(format!("export of a {}, {}", kind.as_deref().unwrap_or("container"), file_mark(&file).await?))
        }
    }
}
