//! How the engine gets the steps of a job back, on whichever companion.

use std::sync::Arc;

use async_trait::async_trait;

use super::facts::spec_of;
use super::secrets::look_ahead;
use super::service::Bringups;
use super::spec::ChangeSpec;
use super::steps::{BringUp, Changing};
use crate::job::{JobSpec, Saga, Sagas, State};
use crate::outcome::Fault;

#[async_trait]
impl Sagas for Bringups {
    async fn saga(&self, job: &str, state: &State) -> Result<Arc<dyn Saga>, Fault> {
        let backend = self.backend(&state.spec.backend)?;
        if let Some(of) = &state.spec.change_of {
            let change = ChangeSpec::of(&state.spec)?.change;
            return Ok(Arc::new(Changing::new(self.me.clone(), backend, change, job, of)));
        }
        // Guests of an interrupted job report to the same place as before.
        if !state.phase.is_gone()
            && let Err(fault) = self.endpoints.ensure(&*backend).await
        {
            tracing::warn!(job, error = %fault, "no place for reports yet");
        }
        Ok(Arc::new(BringUp::new(self.me.clone(), backend, spec_of(state)?, job)))
    }

    async fn successor(&self, job: &str, state: &State) -> Result<JobSpec, Fault> {
        let spec = self.again(job, state).await?;
        Ok(JobSpec { by: state.spec.by.clone(), ..spec })
    }

    async fn left(&self, _: &str, state: &State) {
        if !state.phase.is_gone() {
            return;
        }
        if let Ok(backend) = self.backend(&state.spec.backend) {
            self.tidy(&*backend).await;
        }
    }
}

impl Bringups {
    /// The same guest again, from the golden as it is now.
    pub(super) async fn again(&self, job: &str, state: &State) -> Result<JobSpec, Fault> {
        if state.spec.change_of.is_some() {
            return Ok(JobSpec { retry_of: Some(job.to_owned()), ..state.spec.clone() });
        }
        let mut spec = spec_of(state)?;
        let backend = self.backend(&spec.backend)?;
        if let Some(before) = spec.adopt.clone() {
            spec = self.adopt_again(spec, &before).await?;
        } else {
            look_ahead(&spec.plan, &self.secrets)?;
            backend.preflight(&spec.plan).await?;
            spec.golden_mark = backend.golden_mark(&spec.plan).await.ok();
        }
        let made = self.job_spec(&spec)?;
        Ok(JobSpec { batch: state.spec.batch.clone(), retry_of: Some(job.to_owned()), ..made })
    }
}
