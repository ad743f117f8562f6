//! `golden.json`: what the golden had, when it was sealed, by which version, and what was kept.

use std::time::Duration;

use firstlight_shared::error::Chain;
use serde::{Deserialize, Serialize};

use super::plan::{Action, Effect, Plan};
use crate::golden::{self, Golden};
use crate::identity::{MachineIdFile, classify_machine_id};
use crate::keys::HostKeys;
use crate::paths;
use crate::sys::{Machine, Root, millis};

const ITEM: &str = "golden-record";
const VERSION: u32 = 1;

/// The file. The identity phase reads the part of it that is [`Golden`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Record {
    version: u32,
    /// Milliseconds since the Unix epoch; `SOURCE_DATE_EPOCH`, if that is set.
    sealed_at_ms: u64,
    /// The version of this program.
    sealed_by: String,
    /// Items that `--keep` named and the image has.
    kept: Vec<String>,
    #[serde(flatten)]
    golden: Golden,
}

/// What the golden has now, together with what an earlier seal took away from it.
pub(super) fn look(machine: &Machine, keys: &HostKeys, problems: &mut Vec<String>) -> Golden {
    let root = &machine.root;
    let mut golden = golden::load(root, problems).unwrap_or_default();
    golden.add(Golden {
        host_keys: keys.keys.iter().filter_map(|key| key.fingerprint()).collect(),
        machine_ids: [paths::MACHINE_ID, paths::DBUS_MACHINE_ID]
            .into_iter()
            .filter_map(|path| match classify_machine_id(root.read(path).ok().flatten().as_deref()) {
                MachineIdFile::Valid(id) => Some(id.derived()),
                _ => None,
            })
            .collect(),
        hostnames: hostname(root).into_iter().collect(),
        // Of a machine that runs: its image's clones must have others.
        macs: machine.interfaces().into_iter().filter_map(|interface| interface.mac).collect(),
    });
    golden.without_doubles()
}

fn hostname(root: &Root) -> Option<String> {
    let text = root.read_text(paths::HOSTNAME).ok()??;
    let name = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    (!name.starts_with("localhost")).then(|| name.to_owned())
}

/// Plans the record where anything in it would be new. Call it when the rest of the plan stands.
pub(super) fn plan(root: &Root, golden: &Golden, now: Duration, plan: &mut Plan) {
    let mut kept: Vec<String> =
        plan.left.iter().filter(|left| left.kept).map(|left| left.item.to_owned()).collect();
    kept.sort_unstable();
    kept.dedup();
    let path = place(root);
    let present: Record = root
        .read(path)
        .ok()
        .flatten()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let record = Record {
        version: VERSION,
        sealed_at_ms: present.sealed_at_ms,
        sealed_by: env!("CARGO_PKG_VERSION").to_owned(),
        kept,
        golden: golden.clone(),
    };
    if record == present && plan.changes.is_empty() {
        return;
    }
    let record = Record { sealed_at_ms: millis(now), ..record };
    if record == present {
        return;
    }
    let text = match serde_json::to_string_pretty(&record) {
        Ok(text) => text + "\n",
        Err(error) => return plan.problems.push(Chain(&error).to_string()),
    };
    let action = if root.kind(path).is_some() { Action::Rewrite } else { Action::Create };
    let effect = Effect::Write { mode: 0o644, bytes: text.into_bytes().into() };
    plan.change(ITEM, path, action, effect);
}

/// Below /usr, where nothing changes it later; beside an earlier one, if that is all there is.
fn place(root: &Root) -> &'static str {
    let [usr, var] = paths::GOLDEN;
    if root.kind(usr).is_none() && root.kind(var).is_some() { var } else { usr }
}
