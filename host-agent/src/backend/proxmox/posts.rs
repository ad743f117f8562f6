//! What this process has asked for to make guests, and what it was told: only while an answer is missing may a task or an
//! empty guest that is found be ours without anything that says so.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Proxmox;
use super::client::upid::Upid;
use super::client::verdict::{ApiError, Class, Code};
use super::standing::{RESTORE, Standing, target};
use crate::backend::{ID_TAKEN, Placement};
use crate::outcome::{Act, Fault};

/// No job takes as long.
const KEPT: Duration = Duration::from_secs(48 * 3600);

/// The requests of one job for one VMID.
#[derive(Debug, Clone)]
struct Post {
    /// The last request, or the first look.
    at: Instant,
    /// A request was sent, and no answer is known: since when.
    doubt: Option<Instant>,
    /// The task of the last request that was taken.
    task: Option<Upid>,
}

/// By job and VMID.
#[derive(Debug, Default)]
pub(super) struct Posts(Mutex<HashMap<(String, u32), Post>>);

impl Posts {
    /// Since when a request of this job for this VMID is without an answer. `unsure`: the journal does not know of a process
    /// before this one whether it sent any; a VMID that was chosen in this one is known better.
    fn doubt(&self, job: &str, vmid: u32, unsure: bool) -> Option<Instant> {
        self.with(job, vmid, unsure, |post| post.doubt)
    }

    /// Notes that a request leaves now; what was the doubt before.
    fn leaves(&self, job: &str, vmid: u32, unsure: bool) -> Option<Instant> {
        self.with(job, vmid, unsure, |post| {
            let before = post.doubt;
            (post.at, post.doubt) = (Instant::now(), Some(Instant::now()));
            before
        })
    }

    /// Its task is known: the VMID was free until then, so nothing of an earlier request is there.
    pub(super) fn is_made_by(&self, job: &str, vmid: u32, task: &Upid) {
        self.with(job, vmid, false, |post| (post.doubt, post.task) = (None, Some(task.clone())));
    }

    /// The request has surely done nothing.
    fn did_nothing(&self, job: &str, vmid: u32, before: Option<Instant>) {
        self.with(job, vmid, false, |post| post.doubt = before);
    }

    pub(super) fn task(&self, job: &str, vmid: u32) -> Option<Upid> {
        self.lock().get(&(job.to_owned(), vmid))?.task.clone()
    }

    fn with<T>(&self, job: &str, vmid: u32, unsure: bool, act: impl FnOnce(&mut Post) -> T) -> T {
        let mut posts = self.lock();
        let now = Instant::now();
        posts.retain(|_, post| now.duration_since(post.at) < KEPT);
        let is_new = posts.keys().all(|(known, _)| known != job);
        let post = posts.entry((job.to_owned(), vmid)).or_insert_with(|| Post {
            at: now,
            doubt: (unsure && is_new).then_some(now),
            task: None,
        });
        act(post)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, u32), Post>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Proxmox {
    /// Since when a request that makes this guest may be under way without our knowing its answer.
    pub(super) fn doubt(&self, placement: &Placement, vmid: u32) -> Option<Instant> {
        self.posts.doubt(&placement.job, vmid, placement.unsure)
    }

    /// The task that is surely this job's: named by an answer, not found in a list.
    pub(super) fn is_surely_ours(&self, placement: &Placement, task: &Upid) -> bool {
        let Some(vmid) = task.vmid() else { return false };
        self.posts.task(&placement.job, vmid).as_ref() == Some(task) || self.doubt(placement, vmid).is_none()
    }

    /// Whether this job has asked, or may have, for a guest of this VMID.
    pub(super) fn was_asked_for(&self, placement: &Placement, vmid: u32) -> bool {
        self.doubt(placement, vmid).is_some() || self.known_task(placement, vmid).is_some()
    }

    /// The last restore that an answer or the journal names.
    pub(super) fn known_task(&self, placement: &Placement, vmid: u32) -> Option<Upid> {
        let journaled = || placement.tasks.get(RESTORE)?.parse::<Upid>().ok();
        let known = self.posts.task(&placement.job, vmid).or_else(journaled);
        known.filter(|upid| upid.vmid() == Some(vmid))
    }

    /// Sends the request that makes the guest.
    pub(super) async fn post(
        &self,
        placement: &Placement,
        vmid: u32,
        send: impl Future<Output = Result<Upid, ApiError>>,
    ) -> Act {
        let before = self.posts.leaves(&placement.job, vmid, placement.unsure);
        match send.await {
            Ok(upid) => {
                self.posts.is_made_by(&placement.job, vmid, &upid);
                Act::Started(upid.to_string())
            }
            Err(error) => {
                if error.class != Class::MaybeApplied {
                    self.posts.did_nothing(&placement.job, vmid, before);
                }
                match error.class {
                    Class::Rejected { code: Code::Exists, .. } => self.taken(placement, vmid, &error).await,
                    _ => super::fault::act_of(&error),
                }
            }
        }
    }

    /// The VMID is taken: by somebody else, unless an earlier request of this job may have been carried out.
    async fn taken(&self, placement: &Placement, vmid: u32, error: &ApiError) -> Act {
        if self.doubt(placement, vmid).is_none() {
            return Act::Refused(elses(error.text.to_string()));
        }
        match self.settled_standing(placement).await {
            Ok(Standing::Other(what)) => Act::Refused(elses(what)),
            _ => Act::Unknown(Fault::from(error)),
        }
    }

    /// What ended well may have been another's task, found while an answer of ours was missing. None: it is ours.
    pub(super) async fn not_ours(&self, placement: &Placement, task: &Upid) -> Option<Fault> {
        match self.standing(placement).await {
            Ok(Standing::Ours(_)) => {
                if let Ok(guest) = target(placement) {
                    self.posts.is_made_by(&placement.job, guest.vmid, task);
                }
                None
            }
            Ok(Standing::Other(what)) => Some(elses(what)),
            Ok(_) => Some(Fault::new("task-unknown", format!("{task} has not made this guest"))),
            Err(fault) => Some(fault),
        }
    }
}

pub(super) fn elses(what: String) -> Fault {
    Fault::new(ID_TAKEN, what).with_hint("choose another `vmid`, or none")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upid(pid: u32) -> Upid {
        format!("UPID:pve1:{pid:08X}:00056742:6B017F12:vzrestore:104:lab@pve!host:").parse().unwrap()
    }

    #[test]
    fn only_a_request_without_an_answer_is_in_doubt() {
        let posts = Posts::default();
        let doubt = |vmid| posts.doubt("j", vmid, false).is_some();
        assert!(!doubt(104), "nothing was asked for");
        let before = posts.leaves("j", 104, false);
        assert!(doubt(104) && !doubt(105) && before.is_none());
        posts.did_nothing("j", 104, before);
        assert!(!doubt(104));
        // The first answer is lost, the second one says that it is there.
        posts.leaves("j", 104, false);
        let before = posts.leaves("j", 104, false);
        posts.did_nothing("j", 104, before);
        assert!(doubt(104), "it may be the first one's");
        posts.is_made_by("j", 104, &upid(1));
        assert_eq!((doubt(104), posts.task("j", 104)), (false, Some(upid(1))));
    }

    #[test]
    fn what_a_process_before_asked_for_is_in_doubt_and_a_vmid_chosen_since_is_not() {
        let posts = Posts::default();
        assert!(posts.doubt("j", 104, true).is_some());
        assert!(posts.doubt("j", 105, true).is_none(), "chosen by this process");
        assert!(posts.doubt("k", 104, true).is_some(), "another job");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_kept_forever() {
        let posts = Posts::default();
        posts.leaves("j", 104, false);
        tokio::time::advance(KEPT).await;
        assert!(posts.doubt("k", 104, false).is_none());
        assert_eq!(posts.lock().len(), 1);
    }
}
