//! What the golden had, as `seal` recorded it: anything of it found in a guest is not the guest's own.

use firstlight_shared::ids::{DerivedMachineId, MacAddress};
use serde::{Deserialize, Serialize};

use crate::paths;
use crate::sys::Root;

/// All lists; a second seal adds to them. Absent fields mean: not recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Golden {
    /// Public key fingerprints, `SHA256:...`.
    pub host_keys: Vec<String>,
    /// In derived form; the raw machine-id is nowhere.
    pub machine_ids: Vec<DerivedMachineId>,
    pub hostnames: Vec<String>,
    pub macs: Vec<MacAddress>,
}

/// The record, none if the golden was not sealed by us; a record that cannot be read is a problem, not a record.
///
/// Where a second seal could not write beside the first one's record, both count.
pub(crate) fn load(root: &Root, problems: &mut Vec<String>) -> Option<Golden> {
    let mut found: Option<Golden> = None;
    for path in paths::GOLDEN {
        match root.read(path) {
            Ok(None) => {}
            Ok(Some(bytes)) => match serde_json::from_slice::<Golden>(&bytes) {
                Ok(golden) => found.get_or_insert_default().add(golden),
                Err(error) => problems.push(format!("/{path} cannot be read: {error}")),
            },
            Err(error) => problems.push(firstlight_shared::error::Chain(&error).to_string()),
        }
    }
    found
}

impl Golden {
    pub(crate) fn add(&mut self, other: Self) {
        self.host_keys.extend(other.host_keys);
        self.machine_ids.extend(other.machine_ids);
        self.hostnames.extend(other.hostnames);
        self.macs.extend(other.macs);
    }

    /// Each once, in the order in which they were found.
    pub(crate) fn without_doubles(self) -> Self {
        fn once<T: PartialEq>(all: Vec<T>) -> Vec<T> {
            let mut kept = Vec::with_capacity(all.len());
            all.into_iter().for_each(|one| {
                if !kept.contains(&one) {
                    kept.push(one);
                }
            });
            kept
        }
        Self {
            host_keys: once(self.host_keys),
            machine_ids: once(self.machine_ids),
            hostnames: once(self.hostnames),
            macs: once(self.macs),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sys::Fuse;

    #[test]
    fn records_of_two_seals_are_one() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let mut problems = Vec::new();
        let root = Root::open(folder.path(), Fuse::intact()).unwrap();
        assert_eq!(load(&root, &mut problems), None);
        write(paths::GOLDEN[0], r#"{"version":1,"host_keys":["SHA256:a"],"hostnames":["golden"]}"#);
        write(paths::GOLDEN[1], r#"{"version":1,"host_keys":["SHA256:b"],"new":{}}"#);
        let golden = load(&root, &mut problems).unwrap();
        assert_eq!((golden.host_keys.len(), golden.hostnames.len(), problems.len()), (2, 1, 0));
        write(paths::GOLDEN[1], r#"{"host_keys":"#);
        assert_eq!(load(&root, &mut problems).unwrap().host_keys, ["SHA256:a"]);
        assert!(problems.len() == 1 && problems[0].contains("cannot be read"), "{problems:?}");
    }

    proptest! {
        #[test]
        fn no_record_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 0usize..400) {
            let _ = serde_json::from_slice::<Golden>(&bytes);
            let whole = br#"{"version":1,"host_keys":["SHA256:a"],"machine_ids":["9a6548b8a4034ed2a72d62da6f19aa08"],"macs":["02:00:00:00:00:01"]}"#;
            let mut torn = whole[..cut.min(whole.len())].to_vec();
            torn.extend_from_slice(&bytes);
            let _ = serde_json::from_slice::<Golden>(&torn);
        }
    }
}
