//! What waiting for a guest means, given the job that knows it. Pure.
//!
//! | the guest's job | same guest | another guest of that name |
//! |---|---|---|
//! | none, or gone | create | create |
//! | a bring-up of ours: done | unchanged | refused |
//! | queued, running, waiting | joined | refused |
//! | unwinding, needs an operator | refused | refused |
//! | a wait: done | unchanged; `again`: replaced | replaced: the guest was made anew |
//! | queued, running, waiting | joined | replaced |
//! | unwinding | replaced, once it is gone | replaced, once it is gone |
//! | needs an operator | replaced | replaced |
//!
//! Where a job counts, it must have required what is required now.

use super::WaitFor;
use crate::job::Phase;
use crate::outcome::Fault;

/// The job that knows the guest.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) job: String,
    pub(super) guest: String,
    pub(super) phase: Phase,
    /// Somebody has asked for its end.
    pub(super) ends: bool,
    /// It only waits.
    pub(super) adopted: bool,
    /// Its guest has the ids and MACs of the one that is meant.
    pub(super) is_it: bool,
    pub(super) require: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    Abandon,
    Cancel,
    Nothing,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Create,
    Unchanged {
        job: String,
    },
    Join {
        job: String,
    },
    /// The job is only a record: ended first, then decided anew.
    Replace {
        job: String,
        ask: Ask,
    },
    Refuse(Fault),
}

pub(super) fn decide(wanted: &WaitFor, guest: &str, known: Option<&Known>) -> Answer {
    let Some(known) = known.filter(|known| !known.phase.is_gone()) else { return Answer::Create };
    let job = known.job.clone();
    let ends = known.ends || known.phase == Phase::Unwinding;
    if !known.adopted {
        return match known.phase {
            _ if !known.is_it => Answer::Refuse(another(guest, known)),
            _ if ends => Answer::Refuse(unwinding(known)),
            Phase::NeedsOperator => Answer::Refuse(needs_operator(known)),
            Phase::Done => counts(wanted, known, Answer::Unchanged { job }),
            _ => counts(wanted, known, Answer::Join { job }),
        };
    }
    let ask = match known.phase {
        _ if ends => Ask::Nothing,
        Phase::Done | Phase::NeedsOperator => Ask::Abandon,
        _ => Ask::Cancel,
    };
    match known.phase {
        _ if ends || !known.is_it => Answer::Replace { job, ask },
        Phase::NeedsOperator => Answer::Replace { job, ask },
        Phase::Done if wanted.again => Answer::Replace { job, ask },
        Phase::Done => counts(wanted, known, Answer::Unchanged { job }),
        _ => counts(wanted, known, Answer::Join { job }),
    }
}

/// The answer, if the job required all that is required now.
fn counts(wanted: &WaitFor, known: &Known, answer: Answer) -> Answer {
    let missing: Vec<&str> =
        wanted.require.iter().filter(|check| !known.require.contains(check)).map(String::as_str).collect();
    if missing.is_empty() {
        return answer;
    }
    let (guest, job, state) = (&known.guest, &known.job, known.phase.as_str());
    let message =
        format!("guest {guest} is known (job {job} is {state}), and {} was not required", missing.join(", "));
    let fault = Fault::new("guest-differs", message);
    Answer::Refuse(match (known.adopted, known.phase) {
        (true, Phase::Done) => {
            fault.with_hint("wait with --again: the guest's next report is judged by what is required then")
        }
        (true, _) => fault.with_hint(format!("`firstlight cancel {guest}` ends the other wait")),
        (false, _) => fault.with_hint(format!("`firstlight show {guest}` lists the checks that it made")),
    })
}

fn another(guest: &str, known: &Known) -> Fault {
    let (other, job) = (&known.guest, &known.job);
    let message = if guest == other {
        format!("guest {guest} is another one than the {other} of job {job}, by its id or MACs")
    } else {
        format!("guest {guest} has the id or a MAC of {other}, which job {job} brings up")
    };
    Fault::new("guest-exists", message)
        .with_hint(format!("rename one of them; `firstlight show {job}` shows ours"))
}

fn unwinding(known: &Known) -> Fault {
    let (guest, job) = (&known.guest, &known.job);
    Fault::new("guest-unwinding", format!("guest {guest} is being undone by job {job}"))
        .with_hint(format!("`firstlight watch {guest}` shows how far it is"))
}

fn needs_operator(known: &Known) -> Fault {
    let (guest, job) = (&known.guest, &known.job);
    Fault::new("guest-needs-operator", format!("guest {guest} is ours, and its job {job} needs an operator"))
        .with_hint(format!("see why with `firstlight show {guest}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(again: bool, require: &[&str]) -> WaitFor {
        WaitFor {
            backend: "paper".into(),
            guest: "101".into(),
            timeout_ms: 1000,
            require: require.iter().map(|check| (*check).to_owned()).collect(),
            again,
        }
    }

    fn known(phase: Phase, adopted: bool, is_it: bool) -> Known {
        Known {
            job: "j1".into(),
            guest: "web-01".into(),
            phase,
            ends: false,
            adopted,
            is_it,
            require: vec!["sshd".into()],
        }
    }

    fn told(answer: &Answer) -> String {
        match answer {
            Answer::Create => "create".into(),
            Answer::Unchanged { .. } => "unchanged".into(),
            Answer::Join { .. } => "join".into(),
            Answer::Replace { ask, .. } => format!("replace {ask:?}"),
            Answer::Refuse(fault) => {
                assert!(fault.hint.is_some(), "no way out: {fault:?}");
                fault.code.clone()
            }
        }
    }

    #[test]
    fn every_state_of_the_guest_has_its_answer() {
        use Phase::*;
        // phase, adopted: the same guest, the same with --again, another guest
        let table = [
            (RolledBack, true, "create", "create", "create"),
            (Abandoned, false, "create", "create", "create"),
            (Done, false, "unchanged", "unchanged", "guest-exists"),
            (Waiting, false, "join", "join", "guest-exists"),
            (Queued, false, "join", "join", "guest-exists"),
            (Unwinding, false, "guest-unwinding", "guest-unwinding", "guest-exists"),
            (NeedsOperator, false, "guest-needs-operator", "guest-needs-operator", "guest-exists"),
            (Done, true, "unchanged", "replace Abandon", "replace Abandon"),
            (Waiting, true, "join", "join", "replace Cancel"),
            (Running, true, "join", "join", "replace Cancel"),
            (Queued, true, "join", "join", "replace Cancel"),
            (Unwinding, true, "replace Nothing", "replace Nothing", "replace Nothing"),
            (NeedsOperator, true, "replace Abandon", "replace Abandon", "replace Abandon"),
        ];
        for (phase, adopted, same, again, other) in table {
            let answer = |again, is_it| {
                told(&decide(&wanted(again, &[]), "web-01", Some(&known(phase, adopted, is_it))))
            };
            assert_eq!(answer(false, true), same, "{phase:?}, adopted: {adopted}");
            assert_eq!(answer(true, true), again, "{phase:?}, adopted: {adopted}, again");
            assert_eq!(answer(false, false), other, "{phase:?}, adopted: {adopted}, another");
        }
        assert_eq!(decide(&wanted(false, &[]), "web-01", None), Answer::Create);
        let asked = Known { ends: true, ..known(Done, true, true) };
        assert_eq!(told(&decide(&wanted(false, &[]), "web-01", Some(&asked))), "replace Nothing");
    }

    #[test]
    fn what_was_not_required_then_is_not_granted_now() {
        use Phase::*;
        for (phase, adopted) in [(Done, true), (Waiting, true), (Done, false), (Waiting, false)] {
            let ask = |require: &[&str]| {
                told(&decide(&wanted(false, require), "web-01", Some(&known(phase, adopted, true))))
            };
            assert_eq!(ask(&["sshd", "docker"]), "guest-differs", "{phase:?}, adopted: {adopted}");
            assert_ne!(ask(&["sshd"]), "guest-differs", "{phase:?}, adopted: {adopted}");
        }
    }
}
