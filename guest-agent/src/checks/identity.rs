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

#[cfg(test)]
mod tests {
    use super::super::units::said;
    use super::*;
    use crate::bus::Bus;
    use crate::config::Settings;
    use crate::golden::Golden;
    use crate::sys::Machine;

    const OWN: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_machine_id_is_judged_by_form_golden_and_outcome() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(paths::MACHINE_ID);
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        std::fs::write(&path, OWN).unwrap();
        let machine = Machine::open(folder.path()).unwrap();
        let mut outcome = crate::identity::run(&machine);
        let derived = OWN.parse::<MachineId>().unwrap().derived();
        outcome.identity.machine_id.derived = Some(derived);
        let (settings, bus) = (Settings::default(), Bus::default());
        let golden = Golden { machine_ids: vec![derived], ..Golden::default() };
        let other = "f".repeat(32);
        for (text, golden, outcome, verdict, reason) in [
            (OWN, None, Some(&outcome), Verdict::Pass, ""),
            (OWN, Some(&golden), Some(&outcome), Verdict::Fail, "the golden's"),
            (OWN, None, None, Verdict::Unknown, "left no outcome"),
            (&other, None, Some(&outcome), Verdict::Fail, "changed after"),
            ("", None, Some(&outcome), Verdict::Fail, "no valid machine-id"),
            ("uninitialized\n", None, Some(&outcome), Verdict::Fail, "no valid machine-id"),
        ] {
            std::fs::write(&path, text).unwrap();
            let context = Context { machine: &machine, settings: &settings, golden, outcome, bus: &bus };
            let look = look_at_machine_id(&context);
            assert_eq!(said(&look).0, verdict, "{text}: {look:?}");
            assert!(said(&look).1.contains(reason), "{text}: {look:?}");
        }
    }
}
