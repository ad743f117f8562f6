//! What is not as it shall be, stage by stage. Pure.
//!
//! Only what we write is looked at: what image, profiles and others have written beside it stays.

use super::stamp;
use super::wanted::{Config, Devices, Wanted};
use crate::backend::Stage;

/// For one change of an instance. An empty value takes its key away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) config: Config,
    pub(super) devices: Devices,
}

impl Change {
    pub(super) fn is_empty(&self) -> bool {
        self.config.is_empty() && self.devices.is_empty()
    }
}

/// What is left to do in this stage for an instance with these keys and devices of its own.
pub(super) fn change(stage: Stage, wanted: &Wanted, config: &Config, devices: &Devices) -> Change {
    let nothing = (Config::new(), Devices::new());
    let (keys, parts) = match stage {
        Stage::Restore => (&wanted.identity, &nothing.1),
        Stage::Mac => (&wanted.macs, &wanted.nics),
        Stage::Hostname => (&wanted.options, &nothing.1),
        Stage::Size => (&wanted.limits, &wanted.root),
        Stage::Mounts => (&nothing.0, &wanted.mounts),
        Stage::Start => (&nothing.0, &nothing.1),
    };
    Change { config: missing(keys, config), devices: missing(parts, devices) }
}

/// Everything at once, for an instance that came out of an export with what it had; keys of ours that it brought along
/// from an earlier life go.
pub(super) fn all(wanted: &Wanted, config: &Config, devices: &Devices) -> Change {
    let (keys, parts) = (wanted.config(), wanted.devices());
    let mut change = Change { config: missing(&keys, config), devices: missing(&parts, devices) };
    let old = config.keys().filter(|key| is_ours(key) && !keys.contains_key(*key));
    change.config.extend(old.map(|key| (key.clone(), String::new())));
    change
}

/// The claim's keys, if they are there.
pub(super) fn without_claim(config: &Config) -> Change {
    let keys = [stamp::CLAIM, stamp::CLAIM_IN_ENVIRONMENT].into_iter();
    let there = keys.filter(|key| config.contains_key(*key));
    Change { config: there.map(|key| (key.to_owned(), String::new())).collect(), ..Change::default() }
}

fn is_ours(key: &str) -> bool {
    key.starts_with("user.firstlight.") || key == stamp::CLAIM_IN_ENVIRONMENT
}

fn missing<V: Clone + PartialEq>(
    wanted: &std::collections::BTreeMap<String, V>,
    there: &std::collections::BTreeMap<String, V>,
) -> std::collections::BTreeMap<String, V> {
    let missing = wanted.iter().filter(|(key, value)| there.get(*key) != Some(value));
    missing.map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::settings::Defaults;
    use super::super::wanted::testing::{base, config, placement};
    use super::*;

    const STAGES: [Stage; 6] =
        [Stage::Restore, Stage::Mac, Stage::Hostname, Stage::Size, Stage::Mounts, Stage::Start];

    fn wanted() -> Wanted {
        let mounts = json!([{ "path": "/srv", "size_bytes": 1 << 30 }]);
        let plan = json!({ "size": { "cores": 2, "disk_bytes": 1 << 30 }, "mounts": mounts, "nics": [{ "bridge": "lab" }] });
        Wanted::of(&placement(plan), &base(), &Defaults::default()).unwrap()
    }

    #[test]
    fn what_one_call_made_needs_no_other() {
        let wanted = wanted();
        let (mut config, devices) = (wanted.config(), wanted.devices());
        config.insert("security.nesting".to_owned(), "true".to_owned());
        for stage in STAGES {
            assert!(change(stage, &wanted, &config, &devices).is_empty(), "{stage:?}");
        }
        assert!(all(&wanted, &config, &devices).is_empty());
    }

    #[test]
    fn each_stage_mends_its_own() {
        let wanted = wanted();
        for (key, at) in [
            (stamp::JOB, Stage::Restore),
            ("environment.container_uuid", Stage::Restore),
            ("volatile.eth0.hwaddr", Stage::Mac),
            ("boot.autostart", Stage::Hostname),
            ("limits.cpu", Stage::Size),
        ] {
            let mut config = wanted.config();
            let value = config.insert(key.to_owned(), "other".to_owned()).unwrap();
            for stage in STAGES {
                let change = change(stage, &wanted, &config, &wanted.devices());
                let expected =
                    if stage == at { Config::from([(key.to_owned(), value.clone())]) } else { Config::new() };
                assert_eq!((change.config, change.devices), (expected, Devices::new()), "{key} {stage:?}");
            }
        }
        for (name, at) in [("eth0", Stage::Mac), ("root", Stage::Size), ("firstlight0", Stage::Mounts)] {
            let mut devices = wanted.devices();
            devices.remove(name);
            for stage in STAGES {
                let change = change(stage, &wanted, &wanted.config(), &devices);
                assert_eq!(change.devices.len(), usize::from(stage == at), "{name} {stage:?}");
            }
        }
    }

    #[test]
    fn an_export_sheds_what_it_brought_of_ours_and_keeps_the_rest() {
        let wanted = wanted();
        let brought = config(
            "user.firstlight.job=old user.firstlight.tags=x environment.FIRSTLIGHT_CLAIM=y user.other=z security.nesting=true",
        );
        let change = all(&wanted, &brought, &Devices::new());
        assert_eq!(change.config[stamp::JOB], "j1");
        let gone: Vec<&str> =
            change.config.iter().filter(|(_, value)| value.is_empty()).map(|(key, _)| key.as_str()).collect();
        assert_eq!(gone, ["environment.FIRSTLIGHT_CLAIM", "user.firstlight.tags"]);
        assert!(!change.config.contains_key("user.other") && !change.config.contains_key("security.nesting"));
    }

    #[test]
    fn only_the_claim_is_taken_out() {
        let claimed = config(
            "user.firstlight.claim=x environment.FIRSTLIGHT_CLAIM=y environment.A=z user.firstlight.job=j",
        );
        let change = without_claim(&claimed);
        assert_eq!(change.config.values().collect::<Vec<_>>(), ["", ""]);
        assert!(without_claim(&config("environment.A=z")).is_empty());
    }
}
