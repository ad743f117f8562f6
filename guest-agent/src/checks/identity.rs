//! `hostname` and `machine-id`: what the identity phase left is still so, and is not the golden's.

use firstlight_shared::check::Verdict;
use firstlight_shared::ids::MachineId;

use super::{Context, Look};
use crate::paths;

pub(super) fn look_at_hostname(context: &Context<'_>) -> Look {
    let Some(name) = context.machine.kernel_hostname() else {
        return Look::Final(Verdict::Unknown, "the kernel tells no host name".to_owned());
    };
    let expected = context.outcome.and_then(|outcome| outcome.identity.hostname.expected.as_ref());
    let goldens = context.golden.is_some_and(|golden| golden.hostnames.contains(&name));
    match expected {
        Some(expected) if *expected == name => Look::pass(format!("`{name}` as expected")),
        Some(expected) => Look::Final(Verdict::Fail, format!("`{name}`, but `{expected}` is expected")),
        None if goldens => Look::Final(Verdict::Fail, format!("`{name}` is the golden's")),
        None if name == "localhost" || name == "(none)" => {
            Look::Final(Verdict::Fail, format!("`{name}`: nobody gave this guest a name"))
        }
        None => Look::pass(format!("`{name}`, nobody said what it should be")),
    }
}

pub(super) fn look_at_machine_id(context: &Context<'_>) -> Look {
    let fail = |reason: &str| Look::Final(Verdict::Fail, reason.to_owned());
    let text = match context.machine.root.read_text(paths::MACHINE_ID) {
        Ok(text) => text.unwrap_or_default(),
        Err(_) => return Look::Final(Verdict::Unknown, "the machine-id cannot be read".to_owned()),
    };
    let Ok(id) = text.parse::<MachineId>() else { return fail("there is no valid machine-id") };
    let derived = id.derived();
    if context.golden.is_some_and(|golden| golden.machine_ids.contains(&derived)) {
        return fail("the machine-id is the golden's");
    }
    let Some(proved) = context.outcome.map(|outcome| &outcome.identity.machine_id) else {
        return Look::Final(Verdict::Unknown, "the identity phase left no outcome".to_owned());
    };
    if proved.derived != Some(derived) {
        return fail("the machine-id changed after the identity phase");
    }
    let reboot =
        if proved.reboot_required { "; this boot still uses the old one: reboot required" } else { "" };
    Look::pass(format!("{derived}{reboot}"))
}
