//! Companions of a test: services and runners on one store and one paper hypervisor.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use firstlight_shared::ids::MachineId;
use firstlight_shared::pin::SpkiPin;
use firstlight_shared::wire::Report;
use tempfile::TempDir;

use super::super::api::Submitted;
use super::super::spec::{GuestSpec, parse_spec};
use super::super::{Bringups, Certifier, Endpoints, Parts, SecretRules, SubmitError};
use super::paper::Paper;
use crate::backend::Backend;
use crate::intake::testing::{claim, key, report, seal};
use crate::intake::{Intake, IntakeError};
use crate::job::{Event, Limits, Phase, Runner, RunnerConfig, Sagas, State};
use crate::outcome::Fault;
use crate::store::Store;

pub(super) struct Rig {
    _folder: TempDir,
    pub(super) store: Store,
    pub(super) paper: Arc<Paper>,
    pub(super) service: Arc<Bringups>,
    runners: Vec<Arc<Runner>>,
}

impl Rig {
    /// With one companion at work.
    pub(super) async fn new() -> Self {
        let mut rig = Self::idle().await;
        rig.work();
        rig
    }

    pub(super) async fn idle() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("firstlight.db")).await.unwrap();
        let paper = Arc::new(Paper::default());
        let service = service(&store, vec![Arc::clone(&paper) as Arc<dyn Backend>]);
        Self { _folder: folder, store, paper, service, runners: Vec::new() }
    }

    /// One more companion on the same store: another service, and a runner.
    pub(super) fn work(&mut self) {
        self.service = service(&self.store, vec![Arc::clone(&self.paper) as Arc<dyn Backend>]);
        let config = RunnerConfig {
            companion: format!("c{}", self.runners.len()),
            room: 100,
            limits: Limits::default(),
            lease: Duration::from_secs(5),
            grace: Duration::from_secs(1),
            look: Duration::from_millis(200),
        };
        let sagas = Arc::clone(&self.service) as Arc<dyn Sagas>;
        let runner = Runner::new(Arc::new(self.store.clone()), sagas, config);
        tokio::spawn(Arc::clone(&runner).run());
        tokio::spawn(Arc::clone(&self.service).run());
        self.runners.push(runner);
    }

    /// Every companion ends where it is.
    pub(super) async fn halt(&mut self) {
        for runner in self.runners.drain(..) {
            runner.stop().await;
        }
        self.service.stop().await;
    }

    pub(super) async fn up(&self, more: &str) -> Vec<Submitted> {
        self.service.submit(&specs(more), "me").await.unwrap()
    }

    pub(super) async fn up_one(&self, more: &str) -> String {
        self.up(more).await.remove(0).job
    }

    pub(super) async fn refused(&self, more: &str) -> Fault {
        match self.service.submit(&specs(more), "me").await {
            Err(SubmitError::Refused(fault)) => fault,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn state(&self, job: &str) -> State {
        self.service.state(job).await.unwrap().unwrap_or_else(|| panic!("there is no job {job}"))
    }

    pub(super) async fn until(&self, job: &str, phase: Phase) -> State {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            let state = self.service.state(job).await.unwrap();
            if let Some(state) = state.clone().filter(|state| state.phase == phase) {
                return state;
            }
            assert!(tokio::time::Instant::now() < deadline, "{job} is not {phase:?} but {state:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The report that this job's guest would send.
    pub(super) async fn report(&self, job: &str, key: &ssh_key::PrivateKey) -> Vec<u8> {
        self.report_with(job, key, |_| {}).await
    }

    pub(super) async fn report_with(
        &self,
        job: &str,
        key: &ssh_key::PrivateKey,
        change: impl FnOnce(&mut Report),
    ) -> Vec<u8> {
        let state = self.state(job).await;
        let allocated = super::super::facts::Allocated::of(&state).unwrap();
        let stored = self.store.claim(&allocated.claim_id).await.unwrap().unwrap();
        let mut claim = claim(&stored.id, stored.secret.expose());
        claim.secret = claim.secret.filter(|_| !stored.open);
        let mut report = report(Some(&claim.id), key);
        report.identity.hostname.current.clone_from(&state.spec.guest);
        let uuid = allocated.allocation.slot.and_then(|slot| slot.uuid);
        report.identity.machine_id.derived = Some(match uuid {
            Some(uuid) => uuid.parse::<MachineId>().unwrap().derived(),
            None => format!("{:0>32}", &job[..11]).parse().unwrap(),
        });
        change(&mut report);
        report.network[0].mac = Some(allocated.allocation.mac);
        seal(&report, &claim, key)
    }

    pub(super) async fn send(&self, bytes: &[u8]) -> Result<(), IntakeError> {
        self.send_from(bytes, IpAddr::from([192, 0, 2, 9])).await
    }

    pub(super) async fn send_from(&self, bytes: &[u8], source: IpAddr) -> Result<(), IntakeError> {
        Intake::new(self.store.clone()).receive(bytes, source).await.map(drop)
    }

    pub(super) async fn ready(&self, job: &str) {
        self.until(job, Phase::Waiting).await;
        let report = self.report(job, &key()).await;
        self.send(&report).await.unwrap();
        self.until(job, Phase::Done).await;
    }

    pub(super) async fn has_event(&self, job: &str, wanted: impl Fn(&Event) -> bool) -> bool {
        self.store.events(job).await.unwrap().iter().any(|recorded| wanted(&recorded.event))
    }

    /// Nothing of any job is left, neither on the hypervisor nor reserved.
    pub(super) async fn assert_clean(&self) {
        assert_eq!(self.paper.world().objects.len(), 0);
        assert_eq!(self.store.reserved(&["mac", "address@paper"]).await.unwrap(), []);
    }
}

pub(super) fn service(store: &Store, backends: Vec<Arc<dyn Backend>>) -> Arc<Bringups> {
    let serve = Arc::new(|_| tokio::spawn(async {}).abort_handle());
    Bringups::new(Parts {
        store: store.clone(),
        endpoints: Endpoints::new(serve),
        pin: SpkiPin::of(b"a key"),
        backends,
        limits: Limits::default(),
        secrets: SecretRules::Anything,
        certifier: Certifier::new(store.clone(), crate::config::SshCaSettings::testing()),
    })
}

/// `more` are the lines of one `[[guest]]` beside its golden; the backend is the paper one.
pub(super) fn specs(more: &str) -> Vec<GuestSpec> {
    let text = format!("[defaults]\ngolden = \"/golden\"\n[[guest]]\n{more}\n");
    let mut specs = parse_spec(&text, Path::new("x.toml"), Path::new("/")).unwrap();
    specs.iter_mut().for_each(|spec| spec.backend = "paper".into());
    specs
}
