//! Whether the guest agent is in it, will run, and will be waited for.

use std::collections::{BTreeMap, BTreeSet};

use firstlight_shared::elf;
use firstlight_shared::items::EntryKind;
use firstlight_shared::units::{self as words, GATE, IDENTITY, REPORT};

use super::super::collect::{Entry, Facts};
use super::super::finding::{Finding, Severity};
use super::super::wanted::{AGENT, SYSTEMD, UNITS};

const INSTALL: &str = "bake it in: `firstlight-guest --root ROOT seal`";

/// Units of SSH servers that must wait, and what other units than OpenSSH's mean.
const SERVERS: [(&str, Severity); 9] = [
    ("ssh.service", Severity::Error),
    ("sshd.service", Severity::Error),
    ("ssh.socket", Severity::Error),
    ("sshd.socket", Severity::Error),
    ("ssh@.service", Severity::Error),
    ("sshd@.service", Severity::Error),
    ("dropbear.service", Severity::Warning),
    ("dropbear.socket", Severity::Warning),
    ("tinysshd.socket", Severity::Warning),
];

const PROGRAMS: [&str; 3] = ["sshd", "dropbear", "tinysshd"];

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let Some(agent) = AGENT.iter().find_map(|path| facts.file(path)) else {
        let finding = Finding::new("agent-missing", Severity::Error, "guest agent", format!("/{}", AGENT[0]));
        return vec![
            finding
                .danger("nothing gives a clone its own identity, and nobody hears when it is ready")
                .fix(INSTALL),
        ];
    };
    let mut findings = program(facts, agent);
    findings.extend(units(facts));
    findings.extend(servers(facts));
    findings.extend(cloud_init(facts));
    findings
}

/// Both make host keys, unless cloud-init is told to leave them alone.
fn cloud_init(facts: &Facts) -> Option<Finding> {
    const CONFIG: &str = "etc/cloud/cloud.cfg";
    const FRAGMENTS: &str = "etc/cloud/cloud.cfg.d/";
    let mut fragments = facts.entries.keys().filter(|path| path.starts_with(FRAGMENTS));
    let is_told = fragments.any(|path| {
        facts.text(path).is_some_and(|text| text.lines().any(|line| line.trim() == "ssh_deletekeys: false"))
    });
    (facts.has(CONFIG) && !is_told).then(|| {
        Finding::new("cloud-init-makes-keys", Severity::Warning, "cloud-init beside the agent", format!("/{CONFIG}"))
            .danger("it deletes the host keys that the guest agent made and reported, and makes others: the report names keys that sshd does not serve")
            .fix("write /etc/cloud/cloud.cfg.d/95-firstlight.cfg: `ssh_deletekeys: false` and `ssh_genkeytypes: []`, as `firstlight-guest seal` does")
    })
}

fn program(facts: &Facts, agent: &Entry) -> Vec<Finding> {
    let path = format!("/{}", agent.at);
    let error = |rule| Finding::new(rule, Severity::Error, "guest agent", &path).fix(INSTALL);
    let mut findings = Vec::new();
    if agent.mode & 0o111 == 0 {
        findings
            .push(error("agent-not-executable").danger("it cannot be run").fix(format!("chmod 0755 {path}")));
    }
    let bytes = agent.bytes.as_deref().unwrap_or_default();
    let system = facts.file(SYSTEMD).and_then(|entry| elf::machine(entry.bytes.as_deref()?));
    match (elf::machine(bytes), system) {
        (None, _) => {
            findings.push(error("agent-not-a-program").danger("it is no ELF program, and cannot be run"))
        }
        (Some(agent), Some(system)) if agent != system => {
            let (agent, system) = (elf::name(agent), elf::name(system));
            findings.push(
                error("agent-architecture").danger(format!(
                    "it is built for {agent}, and the system for {system}: it cannot be run"
                )),
            );
        }
        _ => {}
    }
    let ours = env!("CARGO_PKG_VERSION");
    let told = |severity, danger: String| {
        Finding::new("agent-version", severity, "version of the guest agent", &path)
            .danger(danger)
            .fix(INSTALL)
    };
    match agent.version.as_deref() {
        Some(version) if version == ours => {}
        Some(version) => findings.push(told(
            Severity::Warning,
            format!("it is version {version}, and this companion is {ours}: they are tested together"),
        )),
        None => findings.push(told(
            Severity::Warning,
            "no version is found in it: it is not one of ours, or an old one".to_owned(),
        )),
    }
    findings
}

/// The first unit of that name in systemd's order.
fn unit<'f>(facts: &'f Facts, name: &str) -> Option<&'f Entry> {
    UNITS.iter().find_map(|folder| facts.entries.get(&format!("{folder}/{name}")))
}

fn units(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, wants, without) in [
        (GATE, "sysinit.target.wants", "sshd is not held back"),
        (IDENTITY, "firstlight-gate.target.requires", "the clone keeps the golden's identity"),
        (REPORT, "multi-user.target.wants", "nobody hears when a clone is ready"),
    ] {
        let Some(found) = unit(facts, name) else {
            let finding =
                Finding::new("agent-unit-missing", Severity::Error, name, format!("/{}/{name}", UNITS[2]));
            findings.push(finding.danger(format!("{name} is not there: {without}")).fix(INSTALL));
            continue;
        };
        if is_masked(found) {
            let finding = Finding::new("agent-unit-masked", Severity::Error, name, format!("/{}", found.at));
            findings.push(
                finding
                    .danger(format!("{name} is masked: {without}"))
                    .fix(format!("systemctl unmask {name}")),
            );
            continue;
        }
        findings.extend(replaced(facts, name, found, without));
        findings.extend(overridden(facts, name, found, without));
        if !UNITS.iter().any(|folder| facts.has(&format!("{folder}/{wants}/{name}"))) {
            let path = format!("/{}/{wants}/{name}", UNITS[0]);
            let finding = Finding::new("agent-not-enabled", Severity::Error, name, path);
            findings.push(
                finding
                    .danger(format!("{name} is not enabled: {without}"))
                    .fix(format!("systemctl --root=ROOT enable {name}")),
            );
        }
    }
    findings
}

/// Services under a name that no drop-in of ours has, which start an SSH server.
fn servers_of_other_names(facts: &Facts) -> impl Iterator<Item = (&str, Severity, &Entry)> {
    let all = UNITS.iter().flat_map(|folder| {
        let names =
            facts.entries.range(format!("{folder}/")..).map_while(move |(path, _)| path.strip_prefix(folder));
        names.filter_map(|name| name.strip_prefix('/'))
    });
    let names: BTreeSet<&str> =
        all.filter(|name| !name.contains('/') && name.ends_with(".service")).collect();
    let others = names.into_iter().filter(|name| SERVERS.iter().all(|(known, _)| known != name));
    others.filter_map(|name| {
        let found = unit(facts, name)?;
        let text = facts.text(&found.at)?;
        let starts = words::programs(&text).any(|program| PROGRAMS.contains(&program));
        starts.then_some((name, Severity::Warning, found))
    })
}

/// systemd.unit(5): a link to /dev/null, or an empty file in /etc.
fn is_masked(unit: &Entry) -> bool {
    let is_empty = unit.bytes.as_ref().is_some_and(Vec::is_empty);
    unit.link.as_deref() == Some("dev/null") || (is_empty && is_before(&unit.at))
}

/// In a folder that counts for more than the one where packages have their units.
fn is_before(path: &str) -> bool {
    UNITS[..2].iter().any(|folder| path.starts_with(folder))
}

/// A unit in /etc in the place of the one that was installed.
fn replaced(facts: &Facts, name: &str, found: &Entry, without: &str) -> Option<Finding> {
    let installed = facts.text(&format!("{}/{name}", UNITS[2]))?;
    let theirs = facts.text(&found.at).unwrap_or_default();
    if !is_before(&found.at) || theirs == installed {
        return None;
    }
    let (severity, danger) = match words::serves(name, &theirs) {
        true => (Severity::Warning, "and a newer agent's is never used".to_owned()),
        false => (Severity::Error, format!("and does not do its work: {without}")),
    };
    let finding = Finding::new("agent-unit-replaced", severity, name, format!("/{}", found.at));
    Some(
        finding
            .danger(format!("it replaces /{}/{name}, {danger}", UNITS[2]))
            .fix(format!("remove /{}; put what is your own into a drop-in, {name}.d", found.at)),
    )
}

/// A service of ours whose drop-ins start something else instead.
fn overridden(facts: &Facts, name: &str, found: &Entry, without: &str) -> Option<Finding> {
    let unit = facts.text(&found.at).filter(|text| words::starts_agent([text.as_str()]))?;
    let drop_ins = drop_ins(facts, name);
    let first = drop_ins.iter().filter_map(|paths| paths.first());
    let drop_ins: Vec<_> = first.filter_map(|path| Some((*path, facts.text(path)?))).collect();
    let texts = drop_ins.iter().map(|(_, text)| text.as_str());
    if words::starts_agent([unit.as_str()].into_iter().chain(texts)) {
        return None;
    }
    let (path, _) =
        drop_ins.iter().rfind(|(_, text)| words::settings(text).any(|(key, _)| key == "ExecStart"))?;
    let finding = Finding::new("agent-unit-replaced", Severity::Error, name, format!("/{path}"));
    Some(
        finding
            .danger(format!("with it {name} does not start the agent: {without}"))
            .fix(format!("remove ExecStart= from /{path}")),
    )
}

/// Each SSH server of the golden has to wait until the clone has keys of its own.
fn servers(facts: &Facts) -> Vec<Finding> {
    let named = SERVERS.into_iter().filter_map(|(name, severity)| Some((name, severity, unit(facts, name)?)));
    let mut findings = Vec::new();
    for (name, severity, found) in named.chain(servers_of_other_names(facts)) {
        // Masked, or another name of a unit that is looked at by itself.
        if found.kind == EntryKind::Symlink
            && found.link.as_deref().is_some_and(|link| !link.ends_with(&format!("/{name}")))
        {
            continue;
        }
        let drop_ins = drop_ins(facts, name);
        if waits(facts, found, &drop_ins) {
            continue;
        }
        // What stands in the way of a drop-in that would do.
        let hidden = drop_ins.iter().filter_map(|of_one_name| of_one_name.split_first());
        let instead = hidden
            .filter(|(_, rest)| rest.iter().any(|path| holds_back(facts, path)))
            .map(|(first, _)| *first)
            .next();
        let path = format!("/{}", instead.unwrap_or(&found.at));
        let fix = match instead {
            Some(_) => {
                format!("remove {path}: it replaces the drop-in of the same name that makes {name} wait")
            }
            None => format!("give {name}.d a drop-in with `Requires={GATE}` and `After={GATE}` in [Unit]"),
        };
        let danger =
            format!("{name} may start before the clone has host keys of its own, or with the golden's");
        findings.push(Finding::new("ssh-does-not-wait", severity, name, path).danger(danger).fix(fix));
    }
    findings
}

fn waits(facts: &Facts, unit: &Entry, drop_ins: &[Vec<&str>]) -> bool {
    holds_back(facts, &unit.at)
        || drop_ins.iter().filter_map(|paths| paths.first()).any(|path| holds_back(facts, path))
}

fn holds_back(facts: &Facts, path: &str) -> bool {
    facts.text(path).is_some_and(|text| words::holds_back(&text))
}

/// Paths of a unit's drop-ins, those of one name together: the first of them counts, the others are as if they were not
/// there (systemd.unit(5)). A unit's own folders come before those of all units of its kind.
fn drop_ins<'f>(facts: &'f Facts, name: &str) -> Vec<Vec<&'f str>> {
    let kind = name.rsplit('.').next().unwrap_or_default();
    let mut by_name: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for unit in [name, kind] {
        for folder in UNITS {
            let start = format!("{folder}/{unit}.d/");
            let files = facts.entries.range(start.clone()..).take_while(|(path, _)| path.starts_with(&start));
            for (path, _) in files {
                by_name.entry(&path[start.len()..]).or_default().push(path);
            }
        }
    }
    by_name.into_values().collect()
}
