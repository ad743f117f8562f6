//! Whether a guest's secrets can be brought in, judged by the plan itself.

use firstlight_shared::text::escape;

use super::super::client::endpoint::guest::Kind;
use super::super::kind;
use crate::backend::{GuestPlan, SecretPlan};
use crate::outcome::Fault;

const NO_WAY: &str = "no-safe-channel";
const INSTEAD: &str = "a way without it: encrypt for the guest once it is ready, its report names the age recipient of its own \
                       host key; or bring the file in over ssh, with the keys that `firstlight known-hosts` prints";

/// Proxmox writes no files into guests, and what it hands in can be read by others: only who says so gets that.
pub(super) fn check(plan: &GuestPlan) -> Result<(), Fault> {
    let Some(first) = plan.secrets.first() else { return Ok(()) };
    if kind(plan) == Kind::Qemu {
        let message = format!(
            "secrets: {} cannot be brought into a machine of Proxmox: the API writes no files, and SMBIOS strings and \
             cloud-init drives can be read on the node and in backups",
            shown(first)
        );
        return Err(Fault::new(NO_WAY, message).with_hint(INSTEAD));
    }
    let Some(unsaid) = plan.secrets.iter().find(|secret| !secret.allow_env) else { return Ok(()) };
    let message = format!(
        "secrets: Proxmox has no safe way for {} into a container: the API writes no files into it, and its environment \
         can be read by whoever may read its configuration, by users of the node, and in backups and snapshots of that time",
        shown(unsaid)
    );
    Err(Fault::new(NO_WAY, message)
        .with_hint(format!("`allow_env = true` on the secret accepts exactly that; {INSTEAD}")))
}

/// For nodes that hand containers no variables.
pub(super) fn no_environment() -> Fault {
    Fault::new(NO_WAY, "secrets: containers have an environment from Proxmox VE 9.1 on; this one is older")
        .with_hint(INSTEAD)
}

fn shown(secret: &SecretPlan) -> String {
    escape(&secret.path.to_string_lossy(), 200)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::testing::plan;
    use crate::backend::{FileMode, Kind as PlanKind, Owner, SecretSource};

    #[test]
    fn only_who_says_so_gets_a_secret_into_an_environment() {
        let secret = |allow_env| SecretPlan {
            path: "/etc/key".into(),
            mode: FileMode::default(),
            owner: Owner::default(),
            source: SecretSource::File("/s".into()),
            allow_env,
        };
        for (kind, secrets, said) in [
            (None, vec![], None),
            (Some(PlanKind::Vm), vec![], None),
            (None, vec![secret(true)], None),
            (Some(PlanKind::Lxc), vec![secret(true), secret(true)], None),
            (None, vec![secret(true), secret(false)], Some("no safe way")),
            (Some(PlanKind::Vm), vec![secret(true)], Some("a machine of Proxmox")),
        ] {
            let checked = check(&GuestPlan { kind, secrets, ..plan() });
            assert_eq!(checked.is_err(), said.is_some());
            if let (Err(fault), Some(said)) = (checked, said) {
                assert!(fault.message.contains(said) && fault.hint.is_some(), "{fault:?}");
            }
        }
    }
}
