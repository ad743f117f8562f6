//! Whose an instance is, and how far it is made.
//!
//! Ours is what carries the job's stamp, which the call that makes it carries; an instance that comes out of an export
//! has a name of the job's own until it has its stamp. An instance is listed, with its configuration, as soon as the
//! server has begun to make it: finished is one whose making has ended well, or that has been given its templates, or was started.
//! What a killed server left unfinished cannot be started, ever: it is removed and made again.

use super::stamp;
use super::wanted::Config;

/// How things stand with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing<I> {
    /// No instance has it.
    Free,
    Ours(I),
    /// The server is at it: this operation makes it.
    Making(String),
    /// Ours, and nobody makes it any more.
    Unfinished(I),
    /// Somebody else's: whose it seems to be.
    Other(String),
}

/// What is known of an instance to decide that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts<'a> {
    pub(super) name: &'a str,
    /// Of its own.
    pub(super) config: &'a Config,
    /// It is made of an export: then it is listed only when all of it is there.
    pub(super) exported: bool,
    /// Its making has ended well, by the journal. Between the two notes of a start that was cut off, it tells nothing itself.
    pub(super) made: bool,
    /// The operation that makes it, if the server lists one that runs.
    pub(super) making: Option<&'a str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Ours,
    Making(String),
    Unfinished,
    Other(String),
}

pub(super) fn decide(job: &str, facts: Facts<'_>) -> Verdict {
    match stamp::job_of(facts.config) {
        // Its name is its stamp; what it says is of the life that it had before.
        _ if facts.name == stamp::made_as(job) => {}
        Some(found) if found == job => {}
        Some(found) => {
            return Verdict::Other(format!("instance `{}` carries the stamp of job {found}", facts.name));
        }
        None => return Verdict::Other(format!("instance `{}` was not made by this job", facts.name)),
    }
    if let Some(operation) = facts.making {
        return Verdict::Making(operation.to_owned());
    }
    if facts.exported || facts.made || is_finished(facts.config) {
        Verdict::Ours
    } else {
        Verdict::Unfinished
    }
}

/// Templates are due once the volume is filled; a start takes that note away, and leaves its own.
/// Source: CreateInstanceFromImage in internal/server/storage/backend.go of Incus.
pub(super) fn is_finished(config: &Config) -> bool {
    ["volatile.apply_template", "volatile.last_state.power"].iter().any(|key| config.contains_key(*key))
}

#[cfg(test)]
mod tests {
    use super::super::wanted::testing::config;
    use super::*;

    fn other(what: &str) -> Verdict {
        Verdict::Other(format!("instance `web-01` {what}"))
    }

    #[test]
    fn only_the_stamp_or_the_jobs_own_name_makes_it_ours() {
        for (text, name, exported, making, verdict) in [
            ("", "web-01", false, None, other("was not made by this job")),
            (
                "volatile.apply_template=create",
                "web-01",
                false,
                Some("op"),
                other("was not made by this job"),
            ),
            ("user.firstlight.job=j2", "web-01", false, None, other("carries the stamp of job j2")),
            ("user.firstlight.job=j1", "web-01", false, Some("op"), Verdict::Making("op".into())),
            ("user.firstlight.job=j1", "web-01", false, None, Verdict::Unfinished),
            ("user.firstlight.job=j1 volatile.apply_template=create", "web-01", false, None, Verdict::Ours),
            (
                "user.firstlight.job=j1 volatile.last_state.power=RUNNING",
                "web-01",
                false,
                None,
                Verdict::Ours,
            ),
            ("user.firstlight.job=j1", "web-01", true, None, Verdict::Ours),
            ("", "firstlight-j1", true, None, Verdict::Ours),
            ("user.firstlight.job=old", "firstlight-j1", true, None, Verdict::Ours),
            (
                "",
                "firstlight-j2",
                true,
                None,
                Verdict::Other("instance `firstlight-j2` was not made by this job".into()),
            ),
            ("", "firstlight-j1", true, Some("op"), Verdict::Making("op".into())),
        ] {
            let config = config(text);
            let facts = Facts { name, config: &config, exported, made: false, making };
            assert_eq!(decide("j1", facts), verdict, "{text} {name}");
        }
    }

    #[test]
    fn what_was_made_once_is_never_unfinished_again() {
        for (text, making, verdict) in [
            ("user.firstlight.job=j1", None, Verdict::Ours),
            ("user.firstlight.job=j1", Some("op"), Verdict::Making("op".into())),
            ("user.firstlight.job=j2", None, other("carries the stamp of job j2")),
        ] {
            let config = config(text);
            let facts = Facts { name: "web-01", config: &config, exported: false, made: true, making };
            assert_eq!(decide("j1", facts), verdict, "{text} {making:?}");
        }
    }
}
