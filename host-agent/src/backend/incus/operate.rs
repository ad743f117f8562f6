//! What is done with a guest that is there: commands, memory, snapshots, keeping it.

use std::time::Duration;

use firstlight_shared::text::escape;
use serde_json::json;
use tokio::time::Instant;

use super::check::Change;
use super::client::Client;
use super::client::endpoint::exec::Exec;
use super::client::endpoint::instance::Instance;
use super::client::endpoint::snapshot::{ListSnapshots, RemoveSnapshot, RestoreSnapshot, TakeSnapshot};
use super::client::endpoint::state::{Action, ChangeState};
use super::client::operation::{OperationEnd, OperationId};
use super::client::verdict::{ApiError, Class, Code};
use super::fault::{act_of, act_of_look, decides_nothing};
use super::wanted::{Config, size_text};
use super::{Incus, LONGEST};
use crate::backend::{Placement, Ran, Snapshot};
use crate::outcome::{Act, Fault};

/// Of each output of a command, in bytes.
const OUTPUT: usize = 1 << 20;
/// A guest that has not shut down by then is stopped.
const SHUTDOWN: Duration = Duration::from_secs(60);

impl Incus {
    pub(super) async fn run_in(
        &self,
        placement: &Placement,
        command: &[&str],
        limit: Duration,
    ) -> Result<Ran, Fault> {
        let client = self.site(&placement.plan.place)?;
        let instance = self.ours(&client, placement).await?;
        can_answer(&instance.name, &instance.status)?;
        let exec = Exec {
            instance: instance.name.clone(),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            cwd: "/".to_owned(),
            ..Exec::default()
        };
        match client.exec(&exec, OUTPUT, Instant::now() + limit).await {
            Ok(ran) => Ok(Ran { status: ran.status, stdout: ran.stdout, stderr: ran.stderr }),
            Err(error) => not_run(&instance.name, &error),
        }
    }

    pub(super) async fn change_memory(&self, placement: &Placement, bytes: u64) -> Act {
        settle(self.try_to_change_memory(placement, bytes).await)
    }

    async fn try_to_change_memory(&self, placement: &Placement, bytes: u64) -> Result<(), Act> {
        let (client, instance) = self.there(placement).await?;
        let wanted = Config::from([("limits.memory".to_owned(), size_text(bytes))]);
        let is_so = wanted.iter().all(|(key, value)| instance.config.get(key) == Some(value));
        if !is_so {
            if instance.ephemeral {
                return Err(Act::Refused(
                    Fault::new("ephemeral-guest", "an ephemeral guest is gone once it stops")
                        .with_hint("`firstlight promote` makes it one that stays"),
                ));
            }
            if instance.is_running() {
                stop(&client, &instance).await?;
            }
            let change = Change { config: wanted, ..Change::default() };
            self.patch(&client, &instance.name, change, None).await.map_err(|error| act_of(&error))?;
        }
        // One that was interrupted in between is stopped, and has its memory.
        let (client, instance) = self.there(placement).await?;
        if instance.is_running() {
            return Ok(());
        }
        followed(&client, client.send(&change_state(&instance, Action::Start, false)).await).await
    }

    pub(super) async fn keep_guest(&self, placement: &Placement) -> Act {
        settle(self.try_to_keep(placement).await)
    }

    async fn try_to_keep(&self, placement: &Placement) -> Result<(), Act> {
        let (client, instance) = self.there(placement).await?;
        if !instance.ephemeral {
            return Ok(());
        }
        let patched = self.patch(&client, &instance.name, Change::default(), Some(false)).await;
        patched.map_err(|error| act_of(&error))
    }

    pub(super) async fn snapshots_of(&self, placement: &Placement) -> Result<Vec<Snapshot>, Fault> {
        let client = self.site(&placement.plan.place)?;
        let instance = self.ours(&client, placement).await?;
        let list = ListSnapshots { instance: instance.name.clone() };
        let mut found = client.send(&list).await.map_err(|error| Fault::from(&error))?;
        found.sort_by_key(|one| (one.taken_at_ms(), one.name.clone()));
        Ok(found.into_iter().map(|one| Snapshot { taken_at_ms: one.taken_at_ms(), name: one.name }).collect())
    }

    pub(super) async fn take_snapshot(&self, placement: &Placement, snapshot: &str) -> Act {
        settle(self.try_to_take(placement, snapshot).await)
    }

    async fn try_to_take(&self, placement: &Placement, snapshot: &str) -> Result<(), Act> {
        let (client, instance) = self.there(placement).await?;
        if has_snapshot(&client, &instance, snapshot).await? {
            return Ok(());
        }
        let take = TakeSnapshot { instance: instance.name.clone(), name: snapshot.to_owned() };
        followed(&client, client.send(&take).await).await
    }

    pub(super) async fn set_back(&self, placement: &Placement, snapshot: &str) -> Act {
        settle(self.try_to_set_back(placement, snapshot).await)
    }

    async fn try_to_set_back(&self, placement: &Placement, snapshot: &str) -> Result<(), Act> {
        let (client, instance) = self.there(placement).await?;
        if !has_snapshot(&client, &instance, snapshot).await? {
            let fault = Fault::new("no-snapshot", format!("it has no snapshot `{}`", escape(snapshot, 80)));
            return Err(Act::Refused(fault.with_hint("`incus info INSTANCE` shows those that it has")));
        }
        let restore = RestoreSnapshot { instance: instance.name.clone(), name: snapshot.to_owned() };
        followed(&client, client.send(&restore).await).await?;
        // What it was then comes back with all its configuration: one that was promoted since stays promoted.
        if placement.plan.ephemeral { Ok(()) } else { self.try_to_keep(placement).await }
    }

    pub(super) async fn drop_snapshot(&self, placement: &Placement, snapshot: &str) -> Act {
        settle(self.try_to_drop(placement, snapshot).await)
    }

    async fn try_to_drop(&self, placement: &Placement, snapshot: &str) -> Result<(), Act> {
        let (client, instance) = self.there(placement).await?;
        let remove = RemoveSnapshot { instance: instance.name.clone(), name: snapshot.to_owned() };
        match client.send(&remove).await {
            Err(error) if is_missing(&error) => Ok(()),
            sent => followed(&client, sent).await,
        }
    }

    async fn there(&self, placement: &Placement) -> Result<(Client, Box<Instance>), Act> {
        self.recent.forget(&placement.job);
        let client = self.site(&placement.plan.place).map_err(Act::Refused)?;
        let instance = self.ours(&client, placement).await.map_err(act_of_look)?;
        Ok((client, instance))
    }
}

fn can_answer(name: &str, status: &str) -> Result<(), Fault> {
    match status {
        "Stopped" | "Error" => Err(stopped(name)),
        "Frozen" => {
            let message = format!("guest {name} is frozen: nothing can be run in it");
            Err(Fault::new("guest-does-not-answer", message)
                .with_hint(format!("`incus resume {name}` lets it run on")))
        }
        _ => Ok(()),
    }
}

fn stopped(name: &str) -> Fault {
    Fault::new("guest-stopped", format!("guest {name} does not run"))
        .with_hint(format!("`incus info {name} --show-log` may tell why"))
}

/// Why nothing ran; or how a shell would have put it.
fn not_run(name: &str, error: &ApiError) -> Result<Ran, Fault> {
    match error.class {
        // Meanwhile.
        Class::Rejected(Code::NotRunning) => Err(stopped(name)),
        Class::Rejected(Code::NoCommand) => {
            Ok(Ran { status: Some(127), stdout: Vec::new(), stderr: error.text.as_bytes().to_vec() })
        }
        // The guest's own timer may speak for it.
        Class::Rejected(Code::NoAgent) => Err(Fault::new(
            "no-commands",
            "nothing can be run in it: Incus' agent does not run in the machine",
        )),
        _ => Err(Fault::from(error)),
    }
}

fn settle(ended: Result<(), Act>) -> Act {
    ended.map_or_else(|act| act, |()| Act::Applied(json!({})))
}

fn is_missing(error: &ApiError) -> bool {
    matches!(error.class, Class::Gone | Class::Rejected(Code::NoSnapshot))
}

async fn has_snapshot(client: &Client, instance: &Instance, snapshot: &str) -> Result<bool, Act> {
    let list = ListSnapshots { instance: instance.name.clone() };
    let found = client.send(&list).await.map_err(|error| act_of_look(Fault::from(&error)))?;
    Ok(found.iter().any(|one| one.name == snapshot))
}

fn change_state(instance: &Instance, action: Action, force: bool) -> ChangeState {
    ChangeState { name: instance.name.clone(), action, timeout: Some(SHUTDOWN), force }
}

/// Asks it to shut down, and pulls the plug if it does not.
async fn stop(client: &Client, instance: &Instance) -> Result<(), Act> {
    let asked = client.send(&change_state(instance, Action::Stop, false)).await;
    if followed(client, asked).await.is_ok() {
        return Ok(());
    }
    match client.send(&change_state(instance, Action::Stop, true)).await {
        Err(error) if error.class == Class::AlreadySo => Ok(()),
        sent => followed(client, sent).await,
    }
}

async fn followed(client: &Client, sent: Result<OperationId, ApiError>) -> Result<(), Act> {
    let operation = sent.map_err(|error| act_of(&error))?;
    match client.follow(&operation, Instant::now() + LONGEST).await {
        OperationEnd::Done(_) => Ok(()),
        OperationEnd::Failed { class, text } => {
            let fault = Fault::new(class.code(), text);
            Err(if decides_nothing(class) { Act::Unknown(fault) } else { Act::Refused(fault) })
        }
        OperationEnd::Unknown { text } => Err(Act::Unknown(Fault::new("operation-unknown", text))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::client::call::Method;
    use super::*;

    #[test]
    fn a_guest_in_which_nothing_can_be_run_is_told_from_one_that_lacks_the_program() {
        let told = |class| {
            let (method, path, text) = (Method::Post, "/1.0/x".into(), "what it says".into());
            match not_run("web-01", &ApiError { method, path, class, status: None, text }) {
                Ok(ran) => format!("{:?} {}", ran.status, String::from_utf8_lossy(&ran.stderr)),
                Err(fault) => fault.code,
            }
        };
        assert_eq!(told(Class::Rejected(Code::NoCommand)), "Some(127) what it says");
        assert_eq!(told(Class::Rejected(Code::NoAgent)), "no-commands");
        assert_eq!(told(Class::Rejected(Code::NotRunning)), "guest-stopped");
        assert_eq!(told(Class::Denied), "incus-denied");
        for (status, code) in [("Stopped", "guest-stopped"), ("Frozen", "guest-does-not-answer")] {
            assert_eq!(can_answer("web-01", status).unwrap_err().code, code);
        }
        for status in ["Running", "Ready"] {
            assert_eq!(can_answer("web-01", status), Ok(()));
        }
    }
}
