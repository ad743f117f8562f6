//! What is asked for of a guest that is ready.

use serde::{Deserialize, Serialize};

use crate::job::JobSpec;
use crate::outcome::Fault;

/// The shortest memory that any guest could boot with.
const LEAST_MEMORY: u64 = 16 << 20;

/// What is to be changed of a guest that is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Change {
    /// It is stopped, changed and started.
    Memory {
        bytes: u64,
        /// Taken before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        snapshot: Option<String>,
    },
    Snapshot {
        name: String,
    },
    RemoveSnapshot {
        name: String,
    },
    Rollback {
        name: String,
    },
    /// An ephemeral guest becomes a kept one, for ever.
    Promote,
}

/// What the journal of a change keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::bringup) struct ChangeSpec {
    pub(in crate::bringup) change: Change,
}

impl ChangeSpec {
    pub(in crate::bringup) fn of(spec: &JobSpec) -> Result<Self, Fault> {
        serde_json::from_value(spec.spec.clone())
            .map_err(|error| Fault::new("spec-unreadable", format!("the change cannot be read: {error}")))
    }
}

impl Change {
    /// Nobody knows a way back.
    pub(in crate::bringup) fn is_one_way(&self) -> bool {
        matches!(self, Self::Rollback { .. })
    }

    /// The name of the snapshot that it is about.
    pub(in crate::bringup) fn snapshot(&self) -> Option<&str> {
        match self {
            Self::Memory { snapshot, .. } => snapshot.as_deref(),
            Self::Snapshot { name } | Self::RemoveSnapshot { name } | Self::Rollback { name } => Some(name),
            Self::Promote => None,
        }
    }

    pub(in crate::bringup) fn check(&self) -> Result<(), Fault> {
        if let Some(name) = self.snapshot().filter(|name| !is_snapshot_name(name)) {
            let name = firstlight_shared::text::escape(name, 60);
            return Err(Fault::new("bad-request", format!("`{name}` is no name of a snapshot")).with_hint(
                "2 to 40 letters, digits, `-` and `_` are wanted, a letter first; `current` is taken",
            ));
        }
        match self {
            Self::Memory { bytes, .. } if *bytes < LEAST_MEMORY || bytes % (1 << 20) != 0 => {
                Err(Fault::new("bad-request", format!("{bytes} bytes of memory cannot be given"))
                    .with_hint("whole MiB are wanted, 16M or more: `512M`, `2G`"))
            }
            _ => Ok(()),
        }
    }
}

/// As Proxmox has them (Incus takes more): `current` is the guest as it is now.
fn is_snapshot_name(name: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (2..=40).contains(&name.len())
        && name.as_bytes()[0].is_ascii_alphabetic()
        && name.bytes().all(word)
        && !["current", "vzdump"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_sizes_that_no_backend_has_are_refused_at_once() {
        for (name, fits) in [
            ("before-upgrade", true),
            ("a1", true),
            ("A_b", true),
            ("a", false),
            ("1a", false),
            ("current", false),
            ("a b", false),
            ("", false),
            ("a/../b", false),
        ] {
            assert_eq!(Change::Snapshot { name: name.into() }.check().is_ok(), fits, "{name}");
        }
        assert!(!is_snapshot_name(&"a".repeat(41)));
        for (bytes, fits) in [(512 << 20, true), (1 << 20, false), ((512 << 20) + 1, false)] {
            assert_eq!(Change::Memory { bytes, snapshot: None }.check().is_ok(), fits, "{bytes}");
        }
    }
}
