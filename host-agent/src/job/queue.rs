//! Which queued jobs may begin: fair between batches, within the limits. Pure.

use std::collections::BTreeMap;

/// How many jobs may work at once on one resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// By resource (`node:pve1`), or by kind (`node`) for those that are not named.
    pub at_once: BTreeMap<String, u32>,
}

impl Limits {
    /// None: no limit.
    pub fn of(&self, resource: &str) -> Option<u32> {
        let kind = resource.split(':').next().unwrap_or_default();
        self.at_once.get(resource).or_else(|| self.at_once.get(kind)).copied()
    }
}

/// A job that waits for its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    pub job: String,
    pub batch: String,
    pub resources: Vec<String>,
}

/// What is taken now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// Working jobs by resource.
    pub resources: BTreeMap<String, u32>,
    /// Working jobs by batch.
    pub batches: BTreeMap<String, u32>,
}

/// The jobs that may begin now, at most `room`, in order. `waiting` is oldest first. Each turn goes to the batch that has
/// the fewest at work, the oldest first among equals; a job whose resource is full keeps its place and blocks nobody else.
#[must_use]
pub fn choose(waiting: &[Waiting], taken: &Taken, limits: &Limits, room: usize) -> Vec<String> {
    let mut taken = taken.clone();
    let mut chosen = Vec::new();
    let mut left: Vec<&Waiting> = waiting.iter().collect();
    while chosen.len() < room {
        let fits = |job: &Waiting| {
            job.resources.iter().all(|resource| {
                let used = taken.resources.get(resource).copied().unwrap_or(0);
                limits.of(resource).is_none_or(|limit| used < limit)
            })
        };
        let load = |job: &Waiting| taken.batches.get(&job.batch).copied().unwrap_or(0);
        let next = left
            .iter()
            .enumerate()
            .filter(|(_, job)| fits(job))
            .min_by_key(|(place, job)| (load(job), *place));
        let Some((place, _)) = next else { break };
        let job = left.remove(place);
        for resource in &job.resources {
            *taken.resources.entry(resource.clone()).or_default() += 1;
        }
        *taken.batches.entry(job.batch.clone()).or_default() += 1;
        chosen.push(job.job.clone());
    }
    chosen
}
