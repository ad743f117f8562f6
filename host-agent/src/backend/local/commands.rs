//! A command in a running guest: root there, in all of its namespaces, on its root, with nothing of ours open.
//!
//! It has no limits of the guest's own (its cgroup, its capabilities): a guest of this backend is root on this kernel
//! anyway. It ends with the guest, whose PID namespace it is in, or when its time is over.

use std::time::Duration;

use super::exec::{ExecError, run_for};
use super::stamp::{self, Standing};
use super::{Local, machine};
use crate::backend::{Placement, Ran};
use crate::outcome::Fault;

/// Where a guest may have its programs; NixOS has them in the last one only.
const PATH: &str =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin";

impl Local {
    pub(super) async fn run_in_guest(
        &self,
        guest: &Placement,
        command: &[&str],
        limit: Duration,
    ) -> Result<Ran, Fault> {
        let name = &guest.plan.name;
        if stamp::standing(&self.names, guest) != Standing::Ours {
            let message = format!("guest {name} is not there, or is not of this job");
            return Err(Fault::new("guest-gone", message));
        }
        let Some(leader) = machine::leader(&self.keeper()?, guest).await? else {
            return Err(Fault::new("guest-stopped", format!("guest {name} does not run"))
                .with_hint(format!("`firstlight show {name}` shows its last console lines")));
        };
        let leader = leader.to_string();
        let mut arguments = vec!["nsenter", "--target", leader.as_str()];
        // Not its user namespace: it has none of its own.
        arguments.extend(["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd", "--"]);
        arguments.extend(["env", "-i", PATH, "LC_ALL=C.UTF-8"]);
        arguments.extend(command);
        // A session of its own: what runs there must not reach the terminal that we were started from.
        let ran = run_for("setsid", &arguments, limit).await.map_err(|error| match error {
            ExecError::Deadline { .. } => Fault::new(
                "guest-does-not-answer",
                format!("guest {name} gave no answer within {} s", limit.as_secs()),
            ),
            error => error.into(),
        })?;
        // The process may have ended, and its number been given away, while we entered.
        let now = machine::leader(&self.keeper()?, guest).await?;
        if now.map(|pid| pid.to_string()) != Some(leader) {
            return Err(Fault::new("guest-stopped", format!("guest {name} stopped or rebooted meanwhile")));
        }
        Ok(Ran { status: ran.status.code(), stdout: ran.stdout, stderr: ran.stderr })
    }
}
