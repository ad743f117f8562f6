//! The administrator's configuration, /etc/firstlight/guest.toml: optional, and never able to stop a boot.
//! All of its keys, as an example: docs/guest-agent.md.

use std::time::Duration;

use firstlight_shared::error::Chain;
use firstlight_shared::ids::GuestName;
use firstlight_shared::pin::SpkiPin;
use serde::Deserialize;

use crate::keys::{HostKeys, KeyType};
use crate::paths;
use crate::sys::Root;

/// What happens where only MAC addresses differ and nobody said provision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SuspectPolicy {
    #[default]
    Report,
    Renew,
}

/// Whether a machine whose machine-id had to be replaced reboots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RebootPolicy {
    #[default]
    Never,
    Once,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub hostname: Option<GuestName>,
    pub suspect_clone: SuspectPolicy,
    pub reboot: RebootPolicy,
    pub url: Option<String>,
    pub pin: Option<SpkiPin>,
    /// None: nobody configured any.
    pub channels: Option<Vec<String>>,
    pub key_types: Vec<KeyType>,
    /// guest.toml itself names the types: sshd_config does not restrict them.
    pub key_types_are_named: bool,
    pub give_up_after: Duration,
    /// How long a beacon stands in a boot; none if it is switched off.
    pub beacon_for: Option<Duration>,
    pub check_deadline: Duration,
    pub check_interval: Duration,
    pub skipped_checks: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hostname: None,
            suspect_clone: SuspectPolicy::default(),
            reboot: RebootPolicy::default(),
            url: None,
            pin: None,
            channels: None,
            key_types: KeyType::ALL.to_vec(),
            key_types_are_named: false,
            give_up_after: Duration::from_secs(30 * 60),
            beacon_for: Some(Duration::from_secs(24 * 60 * 60)),
            check_deadline: Duration::from_secs(90),
            check_interval: Duration::from_millis(250),
            skipped_checks: Vec::new(),
        }
    }
}

impl Settings {
    /// The types to make: those of guest.toml if it names any; else all that sshd is told to load.
    pub(crate) fn host_key_types(&self, keys: &HostKeys) -> Vec<KeyType> {
        let told = keys.told_types().filter(|_| !self.key_types_are_named);
        let is_told = |kind: &KeyType| told.as_ref().is_none_or(|told| told.contains(kind));
        self.key_types.iter().copied().filter(is_told).collect()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    hostname: Option<GuestName>,
    identity: IdentityTable,
    host: HostTable,
    ssh_host_keys: KeyTable,
    report: ReportTable,
    beacon: BeaconTable,
    checks: CheckTable,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct IdentityTable {
    suspect_clone: SuspectPolicy,
    reboot: RebootPolicy,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HostTable {
    url: Option<String>,
    pin: Option<SpkiPin>,
    channels: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct KeyTable {
    types: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ReportTable {
    give_up_after: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct BeaconTable {
    enabled: Option<bool>,
    r#for: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CheckTable {
    deadline: Option<Span>,
    interval: Option<Span>,
    skip: Vec<String>,
}

/// A duration as people write it: `250ms`, `90s`, `30m`, `2h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Span(pub(crate) Duration);

impl TryFrom<String> for Span {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => 0,
        };
        let product = number.parse::<u64>().ok().and_then(|number| number.checked_mul(milliseconds));
        match product {
            Some(span @ 1..) => Ok(Self(Duration::from_millis(span))),
            _ => Err(format!("`{text}` is no time span: a number and ms, s, m or h are wanted")),
        }
    }
}

/// The settings; a file that cannot be used is a problem and the defaults count.
pub(crate) fn load(root: &Root, problems: &mut Vec<String>) -> Settings {
    let text = match root.read_text(paths::CONFIG) {
        Ok(None) => return Settings::default(),
        Ok(Some(text)) => text,
        Err(error) => {
            problems.push(format!("{}: the defaults count", Chain(&error)));
            return Settings::default();
        }
    };
    parse(&text, problems)
}

pub(crate) fn parse(text: &str, problems: &mut Vec<String>) -> Settings {
    let file: File = match toml::from_str(text) {
        Ok(file) => file,
        Err(error) => {
            let line = error.span().map_or(1, |span| {
                text.get(..span.start).unwrap_or_default().bytes().filter(|b| *b == b'\n').count() + 1
            });
            problems.push(format!("/{} line {line}: {}: the defaults count", paths::CONFIG, error.message()));
            return Settings::default();
        }
    };
    let defaults = Settings::default();
    Settings {
        hostname: file.hostname,
        suspect_clone: file.identity.suspect_clone,
        reboot: file.identity.reboot,
        url: file.host.url,
        pin: file.host.pin,
        key_types_are_named: file.ssh_host_keys.types.as_ref().is_some_and(|types| !types.is_empty()),
        channels: file.host.channels,
        key_types: key_types(file.ssh_host_keys.types, problems),
        give_up_after: file.report.give_up_after.map_or(defaults.give_up_after, |span| span.0),
        beacon_for: match file.beacon.enabled {
            Some(false) => None,
            _ => file.beacon.r#for.map(|span| span.0).or(defaults.beacon_for),
        },
        check_deadline: file.checks.deadline.map_or(defaults.check_deadline, |span| span.0),
        check_interval: file.checks.interval.map_or(defaults.check_interval, |span| span.0),
        skipped_checks: file.checks.skip,
    }
}

fn key_types(wanted: Option<Vec<String>>, problems: &mut Vec<String>) -> Vec<KeyType> {
    let mut types = Vec::new();
    for name in wanted.into_iter().flatten() {
        match KeyType::parse(&name) {
            Some(kind) if !types.contains(&kind) => types.push(kind),
            Some(_) => {}
            None => problems.push(format!("`{name}` is no host key type: ed25519, ecdsa and rsa are known")),
        }
    }
    if types.is_empty() { KeyType::ALL.to_vec() } else { types }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the page shows is read without a word, and every table and key of ours is on it.
    #[test]
    fn the_documented_file_is_whole() {
        let page = include_str!("../../docs/guest-agent.md");
        let shown = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        let mut problems = Vec::new();
        let settings = parse(shown, &mut problems);
        assert_eq!(problems, Vec::<String>::new());
        let defaults = Settings::default();
        assert_eq!(settings.beacon_for, defaults.beacon_for);
        assert_eq!(
            (settings.check_deadline, settings.give_up_after),
            (defaults.check_deadline, defaults.give_up_after)
        );
        assert!(settings.hostname.is_some() && settings.url.is_some() && settings.pin.is_some());
        assert_eq!((settings.channels.map(|all| all.len()), settings.skipped_checks.len()), (Some(2), 1));
        for key in
            ["suspect_clone", "reboot", "types", "give_up_after", "enabled", "for", "deadline", "interval"]
        {
            assert!(shown.contains(&format!("\n{key} = ")), "{key} is not documented");
        }
    }

    #[test]
    fn a_full_file_is_read() {
        let mut problems = Vec::new();
        let settings = parse(
            "hostname = \"web-01\"\n[identity]\nsuspect_clone = \"renew\"\nreboot = \"once\"\n[host]\nurl = \"https://10.0.0.1:1\"\n[ssh_host_keys]\ntypes = [\"rsa\", \"rsa\"]\n\
             [report]\ngive_up_after = \"2h\"\n[checks]\ndeadline = \"5s\"\nskip = [\"network\"]\n",
            &mut problems,
        );
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(settings.key_types, [KeyType::Rsa]);
        assert_eq!((settings.suspect_clone, settings.reboot), (SuspectPolicy::Renew, RebootPolicy::Once));
        assert_eq!(settings.give_up_after, Duration::from_secs(7200));
        assert_eq!(settings.check_interval, Duration::from_millis(250));
    }

    #[test]
    fn the_beacon_can_be_shortened_and_switched_off() {
        for (text, expected) in [
            ("", Some(24)),
            ("[beacon]\nenabled = true\n", Some(24)),
            ("[beacon]\nfor = \"2h\"\n", Some(2)),
            ("[beacon]\nenabled = false\nfor = \"2h\"\n", None),
        ] {
            let found = parse(text, &mut Vec::new()).beacon_for;
            assert_eq!(found, expected.map(|hours| Duration::from_secs(hours * 3600)), "{text}");
        }
    }

    #[test]
    fn a_bad_file_is_a_problem_that_names_its_line() {
        for (text, said) in [
            ("[host]\nurk = 1\n", "line 2: unknown field `urk`"),
            ("[report]\ngive_up_after = \"30\"\n", "line 2: `30` is no time span"),
            ("hostname = \"Web\"\n", "line 1: `Web` is not a host name"),
            ("=", "line 1"),
            ("[identity]\nreboot = \"always\"\n", "line 2: unknown variant `always`"),
            ("[identity]\nintent = \"restore\"\n", "line 2: unknown field `intent`"),
        ] {
            let mut problems = Vec::new();
            assert_eq!(parse(text, &mut problems), Settings::default());
            assert!(problems.len() == 1 && problems[0].contains(said), "{problems:?}");
        }
        let mut problems = Vec::new();
        assert_eq!(key_types(Some(vec!["dsa".into()]), &mut problems), KeyType::ALL);
        assert_eq!(problems.len(), 1);
    }

    proptest::proptest! {
        /// A configuration never stops a boot: whatever it is, settings come out, and what is not right is said.
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,120}", key in "[a-z_]{1,12}", value in "[0-9a-z\"{}\\[\\],=. ]{0,20}") {
            let mut problems = Vec::new();
            for text in [text.clone(), format!("{key} = {value}"), format!("[identity]\n{key} = {value}"), format!("[{key}]\n{text}")] {
                problems.clear();
                let settings = parse(&text, &mut problems);
                proptest::prop_assert!(!settings.key_types.is_empty());
                proptest::prop_assert!(problems.is_empty() || problems[0].contains("line") || problems[0].contains("host key type"));
            }
        }
    }
}
