//! What applying a spec means for one guest, given the job that has its name. Pure.
//!
//! | the name's job | same spec | another spec |
//! |---|---|---|
//! | none, or gone | create | create |
//! | done | unchanged | refused, with every difference |
//! | queued, running, waiting | joined | refused, with every difference |
//! | asked to unwind, unwinding | refused: wait | refused: wait |
//! | needs an operator | refused: retry or destroy | refused: retry or destroy |
//!
//! A guest that somebody else made, and that is only waited for, is never what a spec wants: refused, whatever its job does.

use std::fmt::Debug;

use crate::bringup::spec::GuestSpec;
use crate::job::Phase;
use crate::outcome::Fault;

/// The job that has the guest's name.
#[derive(Debug, Clone)]
pub(in crate::bringup) struct There {
    pub job: String,
    pub phase: Phase,
    /// None: it was written by another version, and cannot be compared.
    pub spec: Option<GuestSpec>,
    /// Somebody has asked for it to be undone.
    pub unwinding: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bringup) enum Decision {
    Create,
    Unchanged { job: String },
    Join { job: String },
    Refuse { job: String, differences: Vec<String>, fault: Fault },
}

pub(in crate::bringup) fn decide(wanted: &GuestSpec, there: Option<&There>) -> Decision {
    let Some(there) = there.filter(|there| !there.phase.is_gone()) else { return Decision::Create };
    let job = there.job.clone();
    let differences = match &there.spec {
        Some(spec) => differences(spec, wanted),
        None => vec!["spec: (of another version) -> the spec given".to_owned()],
    };
    if there.spec.as_ref().is_some_and(|spec| spec.adopt.is_some()) {
        let differences = vec!["made by: somebody else -> this spec".to_owned()];
        return Decision::Refuse { job, differences, fault: not_ours(wanted, there) };
    }
    let refuse = |fault| Decision::Refuse { job: job.clone(), differences: differences.clone(), fault };
    if there.unwinding || there.phase == Phase::Unwinding {
        return refuse(unwinding(wanted, there));
    }
    match there.phase {
        Phase::NeedsOperator => refuse(needs_operator(wanted, there)),
        _ if !differences.is_empty() => refuse(exists(wanted, there, &differences)),
        Phase::Done => Decision::Unchanged { job },
        _ => Decision::Join { job },
    }
}

fn exists(wanted: &GuestSpec, there: &There, differences: &[String]) -> Fault {
    let name = &wanted.plan.name;
    Fault::new(
        "guest-exists",
        format!(
            "guest {name} exists already (job {} is {}) and differs from the spec: {}",
            there.job,
            there.phase.as_str(),
            differences.join("; ")
        ),
    )
    .with_hint(format!(
        "choose another name, make the spec as it was, or remove the guest first with `firstlight destroy {name}`"
    ))
}

fn not_ours(wanted: &GuestSpec, there: &There) -> Fault {
    let name = &wanted.plan.name;
    let message =
        format!("guest {name} is there, made by somebody else (job {} only waits for it)", there.job);
    Fault::new("guest-exists", message)
        .with_hint(format!("choose another name, or forget that guest with `firstlight abandon {name}`"))
}

fn unwinding(wanted: &GuestSpec, there: &There) -> Fault {
    let name = &wanted.plan.name;
    Fault::new("guest-unwinding", format!("guest {name} is being undone by job {}", there.job))
        .with_hint(format!("wait until `firstlight show {name}` says rolled-back, then apply the spec again"))
}

fn needs_operator(wanted: &GuestSpec, there: &There) -> Fault {
    let name = &wanted.plan.name;
    Fault::new("guest-needs-operator", format!("guest {name} is there and job {} needs an operator", there.job))
        .with_hint(format!(
            "see why with `firstlight show {name}`; then `firstlight retry {name}`, or remove it with `firstlight destroy {name}`"
        ))
}

/// Every field that differs, as `field: there -> wanted`. The golden's mark counts only where both are known: a guest
/// lives on when its golden is moved away.
pub(in crate::bringup) fn differences(there: &GuestSpec, wanted: &GuestSpec) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |field: &str, there: &dyn Debug, wanted: &dyn Debug| {
        let (there, wanted) = (format!("{there:?}"), format!("{wanted:?}"));
        if there != wanted {
            found.push(format!("{field}: {there} -> {wanted}"));
        }
    };
    let (size, wanted_size) = (&there.plan.size, &wanted.plan.size);
    compare("backend", &there.backend, &wanted.backend);
    compare("golden", &there.plan.golden, &wanted.plan.golden);
    if let (true, Some(mark), Some(wanted_mark)) =
        (there.plan.golden == wanted.plan.golden, &there.golden_mark, &wanted.golden_mark)
    {
        compare("golden's content", mark, wanted_mark);
    }
    compare("cores", &shown(size.cores), &shown(wanted_size.cores));
    compare("memory", &shown(size.memory_bytes), &shown(wanted_size.memory_bytes));
    compare("disk", &shown(size.disk_bytes), &shown(wanted_size.disk_bytes));
    compare("mounts", &mounts(there), &mounts(wanted));
    compare("intent", &there.plan.intent, &wanted.plan.intent);
    compare("kind", &kind(there), &kind(wanted));
    let (place, wanted_place) = (&there.plan.place, &wanted.plan.place);
    compare("node", &shown(place.node.as_ref()), &shown(wanted_place.node.as_ref()));
    compare("storage", &shown(place.storage.as_ref()), &shown(wanted_place.storage.as_ref()));
    compare("pool", &shown(place.pool.as_ref()), &shown(wanted_place.pool.as_ref()));
    compare("vmid", &shown(place.vmid), &shown(wanted_place.vmid));
    compare("nics", &there.plan.nics, &wanted.plan.nics);
    compare("tags", &there.plan.tags, &wanted.plan.tags);
    compare("onboot", &shown(there.plan.onboot), &shown(wanted.plan.onboot));
    compare("secrets", &secrets(there), &secrets(wanted));
    compare("on_failure = keep", &there.keep_on_failure, &wanted.keep_on_failure);
    compare("readiness.timeout", &seconds(Some(there.timeout_ms)), &seconds(Some(wanted.timeout_ms)));
    compare("readiness.require", &there.require, &wanted.require);
    compare("lifecycle", &lifecycle(there), &lifecycle(wanted));
    compare("destroy_after", &seconds(there.destroy_after_ms), &seconds(wanted.destroy_after_ms));
    compare("deadline", &seconds(there.deadline_ms), &seconds(wanted.deadline_ms));
    found
}

/// Sources and places; what is in them is nowhere to compare.
fn secrets(spec: &GuestSpec) -> Vec<Plain> {
    let shown = |secret: &crate::backend::SecretPlan| {
        let env = if secret.allow_env { ", env allowed" } else { "" };
        let (path, mode) = (secret.path.display(), secret.mode);
        // In full: a command's arguments count.
        Plain(format!("{path} from {:?}, {mode} {}{env}", secret.source, secret.owner))
    };
    spec.plan.secrets.iter().map(shown).collect()
}

/// Prints as it is, without quotes.
struct Plain(String);

impl Debug for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn shown<T: ToString>(value: Option<T>) -> Plain {
    Plain(value.map_or_else(|| "(none)".to_owned(), |value| value.to_string()))
}

fn seconds(milliseconds: Option<u64>) -> Plain {
    shown(milliseconds.map(|milliseconds| {
        if milliseconds % 1000 == 0 {
            format!("{}s", milliseconds / 1000)
        } else {
            format!("{milliseconds}ms")
        }
    }))
}

fn kind(spec: &GuestSpec) -> Plain {
    shown(spec.plan.kind.map(crate::backend::Kind::as_str))
}

fn lifecycle(spec: &GuestSpec) -> Plain {
    Plain(if spec.plan.ephemeral { "ephemeral" } else { "keep" }.to_owned())
}

fn mounts(spec: &GuestSpec) -> Plain {
    let one = |mount: &crate::backend::Mount| {
        let mut words = mount.path.display().to_string();
        if let Some(bytes) = mount.size_bytes {
            words += &format!(" of {bytes}");
        }
        if let Some(storage) = &mount.storage {
            words += &format!(" on {storage}");
        }
        match mount.backup {
            Some(false) => words + " without backup",
            Some(true) => words + " with backup",
            None => words,
        }
    };
    Plain(format!("[{}]", spec.plan.mounts.iter().map(one).collect::<Vec<_>>().join(", ")))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::bringup::spec::parse_spec;

    fn spec(more: &str) -> GuestSpec {
        let text = format!("[[guest]]\nname = \"web-01\"\ngolden = \"g.tar\"\n{more}");
        parse_spec(&text, Path::new("x.toml"), Path::new("/specs")).unwrap().remove(0)
    }

    #[test]
    fn every_state_of_the_name_has_its_answer() {
        use Phase::*;
        let same = "";
        let other = "cores = 2\n";
        // phase, asked to unwind, the wanted spec, the answer
        let table = [
            (RolledBack, false, same, "create"),
            (RolledBack, false, other, "create"),
            (Abandoned, false, other, "create"),
            (Done, false, same, "unchanged"),
            (Done, false, other, "guest-exists"),
            (Done, true, same, "guest-unwinding"),
            (Queued, false, same, "join"),
            (Running, false, same, "join"),
            (Waiting, false, same, "join"),
            (Queued, false, other, "guest-exists"),
            (Waiting, false, other, "guest-exists"),
            (Waiting, true, same, "guest-unwinding"),
            (Unwinding, false, same, "guest-unwinding"),
            (Unwinding, false, other, "guest-unwinding"),
            (NeedsOperator, false, same, "guest-needs-operator"),
            (NeedsOperator, false, other, "guest-needs-operator"),
        ];
        for (phase, unwinding, wanted, answer) in table {
            let there = There { job: "j1".into(), phase, spec: Some(spec(same)), unwinding };
            let decided = decide(&spec(wanted), Some(&there));
            let told = match &decided {
                Decision::Create => "create",
                Decision::Unchanged { job } if job == "j1" => "unchanged",
                Decision::Join { job } if job == "j1" => "join",
                Decision::Refuse { job, differences, fault } if job == "j1" => {
                    assert_eq!(differences.is_empty(), wanted == same, "{phase:?}");
                    assert!(fault.hint.is_some(), "{phase:?}: no way out");
                    &fault.code
                }
                _ => "another job",
            };
            assert_eq!(told, answer, "{phase:?}, asked to unwind: {unwinding}, {wanted:?}");
        }
        assert_eq!(decide(&spec(same), None), Decision::Create);
    }

    #[test]
    fn a_guest_that_somebody_else_made_is_no_guest_of_a_spec() {
        let mut adopted = spec("");
        adopted.adopt = Some(
            serde_json::from_str(
                r#"{"name":"web-01","kind":"vm","allocation":{"mac":"02:f1:57:00:00:01","addresses":[]}}"#,
            )
            .unwrap(),
        );
        for phase in [Phase::Queued, Phase::Waiting, Phase::Done, Phase::NeedsOperator, Phase::Unwinding] {
            let there = There { job: "j1".into(), phase, spec: Some(adopted.clone()), unwinding: false };
            let Decision::Refuse { fault, .. } = decide(&spec(""), Some(&there)) else { panic!("{phase:?}") };
            assert_eq!(fault.code, "guest-exists", "{phase:?}");
            assert!(fault.hint.is_some_and(|hint| hint.contains("firstlight abandon web-01")), "{phase:?}");
        }
        let gone = There { job: "j1".into(), phase: Phase::Abandoned, spec: Some(adopted), unwinding: false };
        assert_eq!(decide(&spec(""), Some(&gone)), Decision::Create);
    }

    #[test]
    fn each_difference_is_named() {
        let there = spec("");
        for (more, said) in [
            ("golden = \"/other.tar\"", "golden: \"/specs/g.tar\" -> \"/other.tar\""),
            ("cores = 2", "cores: (none) -> 2"),
            ("memory = \"1M\"", "memory: (none) -> 1048576"),
            ("disk = \"1M\"", "disk: (none) -> 1048576"),
            ("mounts = [{ path = \"/a\", size = \"1K\" }]", "mounts: [] -> [/a of 1024]"),
            ("intent = \"restore\"", "intent: Provision -> Restore"),
            ("on_failure = \"keep\"", "on_failure = keep: false -> true"),
            ("deadline = \"1h\"", "deadline: 7320s -> 3600s"),
            ("readiness = { require = [\"sshd\"] }", "readiness.require: [] -> [\"sshd\"]"),
        ] {
            let more = if more.starts_with("golden") {
                let mut other = spec("");
                other.plan.golden = "/other.tar".into();
                other
            } else {
                spec(more)
            };
            assert_eq!(differences(&there, &more), [said]);
        }
        let timeout = spec("deadline = \"7320s\"\nreadiness = { timeout = \"90s\" }");
        assert_eq!(differences(&there, &timeout), ["readiness.timeout: 120s -> 90s"]);
        assert_eq!(differences(&there, &there), [""; 0]);
    }

    #[test]
    fn a_golden_with_other_content_is_another_golden() {
        let marked = |mark: Option<&str>| GuestSpec { golden_mark: mark.map(Into::into), ..spec("") };
        let (old, new) = (marked(Some("1 byte")), marked(Some("2 bytes")));
        assert_eq!(differences(&old, &new), ["golden's content: \"1 byte\" -> \"2 bytes\""]);
        assert_eq!(differences(&old, &marked(None)), [""; 0], "it was moved away: the guest is as it was");
        assert_eq!(differences(&old, &old), [""; 0]);
    }
}
