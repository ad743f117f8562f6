//! Following tasks, and finding those whose names were lost with an answer.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::client::call::Method;
use super::client::endpoint::guest::{Guest, Kind};
use super::client::endpoint::task::{ListTasks, TaskLine};
use super::client::task::TaskEnd;
use super::client::upid::Upid;
use super::client::verdict::{ApiError, Class, Code, Lock};
use super::standing::target;
use super::{Proxmox, kind};
use crate::backend::{Placement, Stage};
use crate::outcome::{Fault, Followed};

/// What the clocks of node and companion may differ by, and the seconds that an UPID cuts off.
pub(super) const ROOM_S: u64 = 30;
/// The engine ends a step long before.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Of a task's log, in a fault.
const LAST_LINES: usize = 3;

impl Proxmox {
    pub(super) async fn follow_task(&self, stage: Stage, placement: &Placement, task: &str) -> Followed {
        let upid: Upid = match task.parse() {
            Ok(upid) => upid,
            Err(error) => return Followed::Unknown(Fault::new("no-task", format!("{error}"))),
        };
        let end = self.client.follow(&upid, Instant::now() + LONGEST).await;
        let ended = followed(stage, placement, &upid, end);
        let ended = match stage == Stage::Restore && !self.is_surely_ours(placement, &upid) {
            true => self.if_ours(placement, &upid, ended).await,
            false => ended,
        };
        match ended {
            Followed::Done(output) if kind(&placement.plan) == Kind::Lxc => {
                self.verify_lxc(stage, placement, remarks_of(&output)).await
            }
            followed => followed,
        }
    }

    /// Of a restore that was found in a list: another companion with the same token may have asked for it.
    async fn if_ours(&self, placement: &Placement, upid: &Upid, ended: Followed) -> Followed {
        match ended {
            Followed::Done(output) => match self.not_ours(placement, upid).await {
                None => Followed::Done(output),
                Some(fault) => Followed::Unknown(fault),
            },
            // What became of another's request says nothing about ours: it is asked again, and then the answer is known.
            Followed::Failed(fault) | Followed::Unknown(fault) => Followed::Unknown(fault),
        }
    }

    /// However it ends: what it did is looked at afterwards.
    pub(super) async fn wait_for_task(&self, task: &str) {
        let Ok(upid) = task.parse::<Upid>() else { return };
        match self.client.follow(&upid, Instant::now() + LONGEST).await {
            TaskEnd::Done { .. } => {}
            TaskEnd::Failed { text, .. } | TaskEnd::Unknown { text } => {
                tracing::warn!(task = %upid, error = %text, "a task of proxmox did not end well");
            }
        }
    }

    /// The tasks of this type on this guest that are ours (of this token) and not older than its allocation: what runs
    /// first, then the newest.
    pub(super) async fn own_tasks(
        &self,
        placement: &Placement,
        guest: &Guest,
        kind: &str,
    ) -> Result<Vec<TaskLine>, Fault> {
        let since = placement.allocation.slot.as_ref().map_or(0, |slot| slot.since_s).saturating_sub(ROOM_S);
        let list = ListTasks {
            node: guest.node.clone(),
            vmid: Some(guest.vmid),
            since: Some(since),
            kind: Some(kind.to_owned()),
            limit: None,
        };
        let lines = self.ask(&list).await?;
        Ok(own(lines, self.client.token_id(), guest.vmid, kind, since))
    }

    pub(super) async fn last_task(
        &self,
        placement: &Placement,
        guest: &Guest,
        kind: &str,
    ) -> Result<Option<TaskLine>, Fault> {
        Ok(self.own_tasks(placement, guest, kind).await?.into_iter().next())
    }

    /// Ours that is at work, if there is one.
    pub(super) async fn running_task(
        &self,
        placement: &Placement,
        guest: &Guest,
        kind: &str,
    ) -> Result<Option<Upid>, Fault> {
        let last = self.last_task(placement, guest, kind).await?;
        Ok(last.filter(|line| line.ended.is_none()).map(|line| line.upid))
    }
}

fn own(lines: Vec<TaskLine>, token: &str, vmid: u32, kind: &str, since: u64) -> Vec<TaskLine> {
    let fits = |line: &TaskLine| {
        let upid = &line.upid;
        upid.user == token && upid.kind == kind && upid.vmid() == Some(vmid) && upid.started >= since
    };
    let mut lines: Vec<TaskLine> = lines.into_iter().filter(fits).collect();
    lines.sort_by_key(|line| (line.ended.is_some(), std::cmp::Reverse(line.upid.started)));
    lines
}

/// What a task's end means for its stage. That it ended well is not yet that all is as it should be: the next stages look.
fn followed(stage: Stage, placement: &Placement, upid: &Upid, end: TaskEnd) -> Followed {
    match end {
        // It only recorded that the guest shall be started.
        TaskEnd::Done { .. } if upid.kind.starts_with("ha") => Followed::Unknown(Fault::new(
            "ha-queued",
            format!("{} is managed by HA, which starts it when it finds the time", upid.id),
        )),
        TaskEnd::Done { remarks, .. } if upid.kind == "resize" && !remarks.is_empty() => Followed::Failed(
            Fault::new("not-grown", format!("the volume has its size, its file system has not: {}", remarks.join(" ")))
                .with_hint("a check of the file system before the golden was made may help: `pct fsck` on the golden's guest"),
        ),
        TaskEnd::Done { remarks, .. } => Followed::Done(output(stage, placement, remarks)),
        TaskEnd::Failed { class, text, log } => {
            let doubt = decides_nothing(&class);
            let fault = failure(upid, class, &text, &log);
            if doubt { Followed::Unknown(fault) } else { Followed::Failed(fault) }
        }
        TaskEnd::Unknown { text } => Followed::Unknown(Fault::new("task-unknown", text)),
    }
}

/// What [`crate::outcome::Act::Applied`] gives of this stage. A restore's tells which guest it made.
pub(super) fn output(stage: Stage, placement: &Placement, remarks: Vec<String>) -> Value {
    let mut output = json!({});
    if let (Stage::Restore, Ok(guest)) = (stage, target(placement)) {
        output = json!({ "id": guest.vmid.to_string(), "node": guest.node });
    }
    if !remarks.is_empty() {
        output["remarks"] = json!(remarks);
    }
    output
}

fn remarks_of(output: &Value) -> Vec<String> {
    let remarks = output.get("remarks").and_then(Value::as_array).into_iter().flatten();
    remarks.filter_map(|remark| remark.as_str().map(str::to_owned)).collect()
}

/// A task that ended so did nothing, or did not have to: the next probe tells how things stand.
pub(super) fn decides_nothing(class: &Class) -> bool {
    match class {
        Class::Locked(Lock::Written(_)) => false,
        Class::Locked(_) | Class::AlreadySo | Class::MaybeApplied => true,
        // Another guest was faster.
        Class::Rejected { code, .. } => *code == Code::Exists,
        Class::NeverSent(_) | Class::Gone | Class::Denied { .. } => false,
    }
}

pub(super) fn failure(upid: &Upid, class: Class, text: &str, log: &[String]) -> Fault {
    let kind = if upid.kind.starts_with("qm") { Kind::Qemu } else { Kind::Lxc };
    // Classed as a request on the guest: codes and hints are the same.
    let error = ApiError {
        method: Method::Post,
        path: format!("/nodes/{}/{}/{}", upid.node, kind.as_str(), upid.id).into(),
        class,
        status: None,
        text: text.into(),
        parameters: std::collections::BTreeMap::new(),
    };
    let words = format!("task {} of guest {} on {}: {text}", upid.kind, upid.id, upid.node);
    let fault = Fault::new(error.code(), words);
    let said = |line: &&String| !line.starts_with("TASK ") && !text.contains(line.as_str());
    let mut last: Vec<&str> = log.iter().rev().filter(said).take(LAST_LINES).map(String::as_str).collect();
    last.reverse();
    match error.hint() {
        Some(hint) => fault.with_hint(hint),
        None if last.is_empty() => fault,
        None => fault.with_hint(format!("its log ends with: {}", last.join(" | "))),
    }
}

#[cfg(test)]
mod tests;
