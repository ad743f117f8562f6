//! A store that refuses, is gone, or does not answer: nothing is done meanwhile, and nothing is lost.

use std::sync::Arc;
use std::time::Duration;

use firstlight::job::RequestKind::Unwind;
use firstlight::job::{JobStore, Recorded};
use tokio::time::sleep;

use crate::paper::{Break, End, Life, Weather, ask, config, settled};
use crate::rig::{JOB, Rig, tell};

#[tokio::test(start_paused = true)]
async fn refused_for_ever_nothing_is_done_any_more() {
    let mut cases = 0;
    for at in 1..=20 {
        let mut rig = Rig::with_job(|_| {}).await;
        let (store, life) = rig.begin(&[Break::Refuse(at, u32::MAX)]);
        sleep(Duration::from_secs(5)).await;
        if at > 12 {
            // Done by then: the way back is refused.
            ask(&*rig.memory, JOB, Unwind).await;
        }
        sleep(Duration::from_secs(600)).await;
        if store.appends() < at {
            life.stop().await;
            break;
        }
        let (requests, journal) = (rig.world.requests(), rig.journal().await);
        sleep(Duration::from_secs(3600)).await;
        assert_eq!(rig.world.requests(), requests, "refused at {at}: something was done");
        assert_eq!(rig.journal().await, journal);
        assert!(!life.runner.driven().is_empty(), "the lease is held: the job is kept");
        life.crash().await;
        let state = rig.run(&[]).await;
        let end = rig.judge(&state);
        assert!(matches!(end, Ok(End::Complete | End::Clean)), "refused at {at}: {end:?}");
        cases += 1;
    }
    tell("refused for ever", cases, 14);
}

#[tokio::test(start_paused = true)]
async fn bad_weather_of_every_kind_at_every_moment() {
    let mut cases = 0;
    for weather in [Weather::Full, Weather::Gone, Weather::Silent] {
        for lasts in [2, 25, 300] {
            for moment in 0..12 {
                let case = format!("{weather:?} for {lasts} s after {} ms", moment * 60);
                let mut rig = Rig::with_job(|_| {}).await;
                let (store, life) = rig.begin(&[]);
                sleep(Duration::from_millis(moment * 60)).await;
                store.set_weather(weather);
                sleep(Duration::from_secs(lasts)).await;
                if lasts > 60 && !rig.memory.is_quiet() {
                    assert!(life.runner.driven().is_empty(), "{case}: driven without a lease");
                }
                store.set_weather(Weather::Fine);
                let state = settled(&*rig.memory, JOB).await;
                rig.expect(&state, End::Complete, &case).await;
                ask(&*rig.memory, JOB, Unwind).await;
                store.set_weather(weather);
                sleep(Duration::from_secs(lasts)).await;
                store.set_weather(Weather::Fine);
                let state = settled(&*rig.memory, JOB).await;
                rig.expect(&state, End::Clean, &case).await;
                life.stop().await;
                cases += 2;
            }
        }
    }
    tell("weather", cases, 216);
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_cannot_be_read_is_left_alone() {
    let mut rig = Rig::with_job(|_| {}).await;
    rig.submit("job-2", "web-02", |_| {}).await;
    let (broken, inner) = (JOB.to_owned(), Arc::clone(&rig.memory));
    let store: Arc<dyn JobStore> = Arc::new(Scrambled { broken, inner });
    let life = Life::start(store, rig.sagas(), config("companion"), &rig.clock);
    let state = settled(&*rig.memory, "job-2").await;
    assert_eq!(crate::paper::judge(&rig.world, "job-2", &state), Ok(End::Complete));
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(rig.memory.events(JOB).await.unwrap().len(), 1, "nothing was guessed");
    assert!(rig.world.things_of(JOB).is_empty());
    life.stop().await;
    // A companion that can read it finds it free.
    let state = rig.run(&[]).await;
    rig.expect(&state, End::Complete, "readable again").await;
}

/// One job's journal has a gap, for whoever claims it.
#[derive(Debug)]
struct Scrambled {
    broken: String,
    inner: Arc<crate::paper::MemoryStore>,
}

#[async_trait::async_trait]
impl JobStore for Scrambled {
    async fn claim(
        &self,
        claimant: &firstlight::job::Claimant,
    ) -> Result<Vec<firstlight::job::Claimed>, firstlight::job::JournalError> {
        let mut claimed = self.inner.claim(claimant).await?;
        for one in claimed.iter_mut().filter(|one| one.lease.job == self.broken) {
            let first: Recorded = one.events[0].clone();
            one.events.push(Recorded { seq: 7, ..first });
        }
        Ok(claimed)
    }

    async fn create(&self, jobs: &[firstlight::job::NewJob]) -> Result<(), firstlight::job::JournalError> {
        self.inner.create(jobs).await
    }

    async fn append(
        &self,
        lease: &firstlight::job::Lease,
        recorded: &Recorded,
        outline: &firstlight::job::Outline,
    ) -> Result<(), firstlight::job::JournalError> {
        self.inner.append(lease, recorded, outline).await
    }

    async fn renew(
        &self,
        leases: &[firstlight::job::Lease],
        ttl: Duration,
    ) -> Result<Vec<String>, firstlight::job::JournalError> {
        self.inner.renew(leases, ttl).await
    }

    async fn release(&self, leases: &[firstlight::job::Lease]) -> Result<(), firstlight::job::JournalError> {
        self.inner.release(leases).await
    }

    async fn ask(
        &self,
        job: &str,
        request: &firstlight::job::Request,
    ) -> Result<(), firstlight::job::JournalError> {
        self.inner.ask(job, request).await
    }

    async fn request(
        &self,
        job: &str,
    ) -> Result<Option<firstlight::job::Request>, firstlight::job::JournalError> {
        self.inner.request(job).await
    }

    async fn settle_request(
        &self,
        lease: &firstlight::job::Lease,
        request: &firstlight::job::Request,
    ) -> Result<(), firstlight::job::JournalError> {
        self.inner.settle_request(lease, request).await
    }

    async fn events(&self, job: &str) -> Result<Vec<Recorded>, firstlight::job::JournalError> {
        self.inner.events(job).await
    }

    fn changes(&self) -> tokio::sync::broadcast::Receiver<firstlight::job::Change> {
        self.inner.changes()
    }
}
