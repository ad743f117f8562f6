//! Whose an instance or a volume is: a configuration key, written in the same call that makes it.

use std::collections::BTreeMap;

/// The job that made it.
pub(super) const JOB: &str = "user.firstlight.job";
/// The claim, as the guest reads it over devIncus.
pub(super) const CLAIM: &str = "user.firstlight.claim";
/// The claim in the environment of a container's first process, where devIncus is off.
pub(super) const CLAIM_IN_ENVIRONMENT: &str = "environment.FIRSTLIGHT_CLAIM";
/// What the operator calls it; Incus knows no tags.
pub(super) const TAGS: &str = "user.firstlight.tags";
/// Of the volumes that we make: the guest that they are for.
pub(super) const GUEST: &str = "user.firstlight.guest";

/// The job that a configuration names. None: it is nobody's of ours.
pub(super) fn job_of(config: &BTreeMap<String, String>) -> Option<&str> {
    let job = config.get(JOB)?;
    let is_id =
        !job.is_empty() && job.len() <= 64 && job.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    is_id.then_some(job)
}

/// Begins the names of instances that are being made from exports.
const MADE_AS: &str = "firstlight-";

/// The name of an instance while it is made from an export, which cannot carry a stamp: nobody else has it.
pub(super) fn made_as(job: &str) -> String {
    let short: String = job.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
    format!("{MADE_AS}{}", short.to_ascii_lowercase())
}

/// The job that a name of [`made_as`] is of.
pub(super) fn job_of_name(name: &str) -> Option<&str> {
    let job = name.strip_prefix(MADE_AS)?;
    (!job.is_empty() && job.chars().all(|c| c.is_ascii_hexdigit())).then_some(job)
}

/// The name of a guest's data volume.
pub(super) fn volume(guest: &str, number: usize) -> String {
    format!("firstlight-{guest}-{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_a_jobs_id_and_nothing_else() {
        for (value, job) in [
            ("0123abcd", Some("0123abcd")),
            ("a-b", Some("a-b")),
            ("", None),
            ("a b", None),
            ("\u{1b}[31m", None),
        ] {
            let config = BTreeMap::from([(JOB.to_owned(), value.to_owned())]);
            assert_eq!(job_of(&config), job, "{value:?}");
        }
        assert_eq!(job_of(&BTreeMap::new()), None);
    }

    #[test]
    fn names_of_ours_are_names_to_incus() {
        // At most 63 characters, letters, digits and `-`.
        assert_eq!(made_as("0123-ABcd"), "firstlight-0123abcd");
        assert!(made_as(&"x".repeat(64)).len() <= 63);
        assert_eq!(volume("web-01", 0), "firstlight-web-01-0");
    }
}
