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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn waiting(job: &str, batch: &str, resources: &[&str]) -> Waiting {
        let resources = resources.iter().map(|resource| (*resource).to_owned()).collect();
        Waiting { job: job.into(), batch: batch.into(), resources }
    }

    fn limits(of: &[(&str, u32)]) -> Limits {
        Limits { at_once: of.iter().map(|(of, limit)| ((*of).to_owned(), *limit)).collect() }
    }

    #[test]
    fn a_named_limit_goes_before_that_of_its_kind() {
        let limits = limits(&[("node", 4), ("node:small", 1)]);
        assert_eq!(limits.of("node:big"), Some(4));
        assert_eq!(limits.of("node:small"), Some(1));
        assert_eq!(limits.of("storage:local"), None);
    }

    #[test]
    fn turns_go_to_the_batch_with_the_fewest_at_work() {
        let line: Vec<Waiting> = [("1", "big"), ("2", "big"), ("3", "big"), ("4", "small"), ("5", "small")]
            .map(|(job, batch)| waiting(job, batch, &[]))
            .to_vec();
        assert_eq!(choose(&line, &Taken::default(), &Limits::default(), 4), ["1", "4", "2", "5"]);
        let taken = Taken { batches: [("big".to_owned(), 5)].into(), ..Taken::default() };
        assert_eq!(choose(&line, &taken, &Limits::default(), 3), ["4", "5", "1"]);
    }

    #[test]
    fn who_waits_for_a_full_node_blocks_nobody_else() {
        let line = [
            waiting("1", "", &["node:a", "storage:s"]),
            waiting("2", "", &["node:a"]),
            waiting("3", "", &["node:b", "storage:s"]),
            waiting("4", "", &["node:c"]),
        ];
        let limits = limits(&[("node", 1), ("storage", 1)]);
        assert_eq!(choose(&line, &Taken::default(), &limits, 9), ["1", "4"]);
        let taken = Taken { resources: [("node:a".to_owned(), 1)].into(), ..Taken::default() };
        assert_eq!(choose(&line, &taken, &limits, 9), ["3", "4"]);
        assert!(choose(&line, &Taken::default(), &limits, 0).is_empty());
    }

    proptest! {
        #[test]
        fn limits_hold_room_holds_and_nobody_is_left_out_without_reason(
            line in proptest::collection::vec((0..3u8, proptest::collection::btree_set(0..4u8, 0..3)), 0..30),
            limit in 0..4u32,
            room in 0..20usize,
        ) {
            let line: Vec<Waiting> = line.iter().enumerate().map(|(job, (batch, resources))| Waiting {
                job: job.to_string(),
                batch: batch.to_string(),
                resources: resources.iter().map(|of| format!("node:{of}")).collect(),
            }).collect();
            let limits = limits(&[("node", limit)]);
            let chosen = choose(&line, &Taken::default(), &limits, room);
            let mut used: BTreeMap<&str, u32> = BTreeMap::new();
            let is_chosen = |job: &&Waiting| chosen.contains(&job.job);
            for job in line.iter().filter(is_chosen) {
                job.resources.iter().for_each(|of| *used.entry(of).or_default() += 1);
            }
            prop_assert!(chosen.len() <= room && used.values().all(|used| *used <= limit));
            let fits = |job: &Waiting| job.resources.iter().all(|of| used.get(of.as_str()).copied().unwrap_or(0) < limit);
            let left_out = line.iter().any(|job| !is_chosen(&job) && fits(job));
            prop_assert!(!left_out || chosen.len() == room);
        }
    }
}
