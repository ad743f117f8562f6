//! How things stand with a guest: read, and decided by [`super::standing`].

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::client::Client;
use super::client::endpoint::instance::{Instance, ReadInstance};
use super::client::endpoint::operation::Operation;
use super::client::verdict::{ApiError, Class};
use super::golden::is_export;
use super::site::name_of;
use super::standing::{Facts, Standing, Verdict, decide, is_finished};
use super::{Incus, stamp};
use crate::backend::Placement;
use crate::outcome::Fault;

/// The step whose operation makes the guest, as journals name it.
const RESTORE: &str = "restore";

/// What was read of guests of ours a moment ago, by job: the stages after the creation look at one state of it.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<HashMap<String, (Instant, Instance)>>);

const RECENT: Duration = Duration::from_secs(2);

impl Recent {
    pub(super) fn get(&self, job: &str) -> Option<Instance> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(job).filter(|(read, _)| read.elapsed() < RECENT).map(|(_, instance)| instance.clone())
    }

    fn keep(&self, job: &str, instance: &Instance) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, (read, _)| read.elapsed() < RECENT);
        kept.insert(job.to_owned(), (Instant::now(), instance.clone()));
    }

    /// Before anything of it is changed.
    pub(super) fn forget(&self, job: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(job);
    }
}

impl Incus {
    pub(super) async fn standing(
        &self,
        client: &Client,
        placement: &Placement,
    ) -> Result<Standing<Box<Instance>>, Fault> {
        let standing = self.standing_of(client, placement, name_of(placement)).await?;
        if standing != Standing::Free || !is_export(&placement.plan) {
            return Ok(standing);
        }
        // It has its own name once it is all that it shall be.
        self.standing_of(client, placement, &stamp::made_as(&placement.job)).await
    }

    async fn standing_of(
        &self,
        client: &Client,
        placement: &Placement,
        name: &str,
    ) -> Result<Standing<Box<Instance>>, Fault> {
        let Some(mut instance) = read(client, name).await? else {
            // Before anything was asked for, there is nothing of ours to find.
            if !placement.unsure && !placement.tasks.contains_key(RESTORE) {
                return Ok(Standing::Free);
            }
            let making = self.making(client, name).await?;
            return Ok(making.map_or(Standing::Free, |operation| Standing::Making(operation.id.to_string())));
        };
        let exported = is_export(&placement.plan);
        let mut making = None;
        if exported
            || (stamp::job_of(&instance.config) == Some(&placement.job) && !is_finished(&instance.config))
        {
            making = self.making(client, name).await?.map(|operation| operation.id.to_string());
            // It may have been finished in between.
            if making.is_none() {
                match read(client, name).await? {
                    Some(again) => instance = again,
                    None => return Ok(Standing::Free),
                }
            }
        }
        let facts = Facts {
            name,
            config: &instance.config,
            exported,
            made: placement.made,
            making: making.as_deref(),
        };
        Ok(match decide(&placement.job, facts) {
            Verdict::Ours => {
                self.recent.keep(&placement.job, &instance);
                Standing::Ours(Box::new(instance))
            }
            Verdict::Making(operation) => Standing::Making(operation),
            Verdict::Unfinished => Standing::Unfinished(Box::new(instance)),
            Verdict::Other(what) => Standing::Other(what),
        })
    }

    /// The operation that makes (or renames) an instance of this name, if one runs.
    async fn making(&self, client: &Client, name: &str) -> Result<Option<Operation>, Fault> {
        let operations = client.operations_on(name).await.map_err(|error| Fault::from(&error))?;
        Ok(operations.into_iter().find(|operation| !operation.has_ended() && makes(&operation.description)))
    }

    /// The guest under its own name, if it is ours and finished.
    ///
    /// # Errors
    /// It is not, or nobody knows.
    pub(super) async fn ours(&self, client: &Client, placement: &Placement) -> Result<Box<Instance>, Fault> {
        let name = name_of(placement);
        if placement.adopted {
            return match read(client, name).await? {
                Some(instance) => Ok(Box::new(instance)),
                None => Err(gone(name)),
            };
        }
        match self.standing_of(client, placement, name).await? {
            Standing::Ours(instance) => Ok(instance),
            Standing::Free => Err(gone(name)),
            Standing::Other(what) => Err(Fault::new("foreign", what)),
            Standing::Making(_) => {
                Err(Fault::new("in-flight", format!("instance `{name}` is still being made")))
            }
            Standing::Unfinished(_) => Err(Fault::new(
                "unfinished-guest",
                format!("instance `{name}` was left unfinished: the server was stopped while it made it"),
            )),
        }
    }
}

fn gone(name: &str) -> Fault {
    Fault::new("guest-gone", format!("instance `{name}` is not there any more"))
}

/// Of this project; none: there is no such instance.
pub(super) async fn read(client: &Client, name: &str) -> Result<Option<Instance>, Fault> {
    match client.send(&ReadInstance { name: name.to_owned() }).await {
        Ok(read) => Ok(Some(read.value)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(Fault::from(&error)),
    }
}

pub(super) fn is_gone(error: &ApiError) -> bool {
    error.class == Class::Gone
}

/// By the server's descriptions of its operations.
/// Source: internal/server/db/operationtype of Incus.
fn makes(description: &str) -> bool {
    matches!(description, "Creating instance" | "Restoring backup" | "Renaming instance")
}
