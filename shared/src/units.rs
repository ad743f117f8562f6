//! What units of systemd say of the gate before every way in: `seal` and `lint` judge by the same words.

/// What every way in waits for.
pub const GATE: &str = "firstlight-gate.target";
/// What the gate waits for.
pub const IDENTITY: &str = "firstlight-identity.service";
pub const REPORT: &str = "firstlight-report.service";

const AGENT: &str = "firstlight-guest";

/// Keys and values of a unit or drop-in, whatever their section; comments are none.
pub fn settings(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
    lines.filter_map(|line| line.split_once('=')).map(|(key, value)| (key.trim_end(), value.trim_start()))
}

/// Whether a unit or drop-in with this text waits until the clone has its own identity.
pub fn holds_back(text: &str) -> bool {
    names(text, &["Requires", "BindsTo", "Requisite"], &[GATE, IDENTITY])
        && names(text, &["After"], &[GATE, IDENTITY])
}

/// Whether another text than ours for one of our units still does its work: the gate waits, the others run the agent.
pub fn serves(unit: &str, text: &str) -> bool {
    match unit {
        GATE => names(text, &["After"], &[IDENTITY]),
        _ => programs(text).any(|program| program == AGENT),
    }
}

/// Whether a service still starts the agent with these drop-ins, in their order: an empty `ExecStart=` forgets what stood before.
pub fn starts_agent<'t>(texts: impl IntoIterator<Item = &'t str>) -> bool {
    let mut starts = false;
    for (_, value) in texts.into_iter().flat_map(settings).filter(|(key, _)| *key == "ExecStart") {
        starts = !value.is_empty() && (starts || program(value) == Some(AGENT));
    }
    starts
}

/// Names of the programs that a service starts, without their folders.
pub fn programs(text: &str) -> impl Iterator<Item = &str> {
    settings(text).filter(|(key, _)| *key == "ExecStart").filter_map(|(_, value)| program(value))
}

fn program(command: &str) -> Option<&str> {
    // systemd.service(5): prefixes of an executable.
    const PREFIXES: [char; 6] = ['@', '-', ':', '+', '!', '|'];
    command.trim_start_matches(PREFIXES).split_whitespace().next()?.rsplit('/').next()
}

fn names(text: &str, keys: &[&str], units: &[&str]) -> bool {
    settings(text)
        .any(|(key, value)| keys.contains(&key) && value.split_whitespace().any(|unit| units.contains(&unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drop_in_may_take_the_agent_out_of_its_service() {
        const UNIT: &str = "[Service]\nExecStart=/usr/bin/firstlight-guest identity\n";
        for (drop_ins, starts) in [
            (&[][..], true),
            (&["[Service]\nTimeoutStartSec=90\n"], true),
            (&["[Service]\nExecStart=\n"], false),
            (&["[Service]\nExecStart=\nExecStart=/bin/true\n"], false),
            (&["[Service]\nExecStart=\n", "[Service]\nExecStart=-/opt/firstlight-guest identity\n"], true),
            (&["[Service]\nExecStart=/bin/true\n"], true),
        ] {
            assert_eq!(
                starts_agent([UNIT].into_iter().chain(drop_ins.iter().copied())),
                starts,
                "{drop_ins:?}"
            );
        }
    }

    #[test]
    fn a_way_in_needs_both_the_requirement_and_the_order() {
        for (text, holds) in [
            ("[Unit]\nRequires=firstlight-gate.target\nAfter=firstlight-gate.target\n", true),
            ("BindsTo = x.service firstlight-gate.target\nAfter=firstlight-identity.service\n", true),
            ("Requires=firstlight-gate.target\n", false),
            ("After=firstlight-gate.target\n", false),
            ("Wants=firstlight-gate.target\nAfter=firstlight-gate.target\n", false),
            ("#Requires=firstlight-gate.target\nAfter=firstlight-gate.target\n", false),
            ("", false),
        ] {
            assert_eq!(holds_back(text), holds, "{text}");
        }
    }

    #[test]
    fn another_text_of_a_unit_serves_if_it_does_the_same_work() {
        for (unit, text, holds) in [
            (IDENTITY, "[Service]\nExecStart=/usr/bin/firstlight-guest identity\n", true),
            (IDENTITY, "ExecStart=-!/opt/firstlight-guest identity\n", true),
            (IDENTITY, "ExecStart=/bin/true\n", false),
            (IDENTITY, "# ExecStart=/usr/bin/firstlight-guest identity\n", false),
            (REPORT, "ExecStart=\nExecStart=/bin/echo firstlight-guest\n", false),
            (GATE, "[Unit]\nAfter=firstlight-identity.service\n", true),
            (GATE, "[Unit]\nAfter=basic.target\n", false),
            (GATE, "", false),
        ] {
            assert_eq!(serves(unit, text), holds, "{unit}: {text}");
        }
        assert_eq!(
            programs("ExecStart=/usr/sbin/sshd -D\nExecStartPre=/usr/sbin/x\n").collect::<Vec<_>>(),
            ["sshd"]
        );
    }
}
