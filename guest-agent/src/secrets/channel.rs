//! Where a hypervisor that cannot write into the root passes a secret: only it writes there.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use firstlight_shared::error::Chain;
use firstlight_shared::paths::{SECRET_CREDENTIAL, SECRET_VARIABLE};
use zeroize::Zeroizing;

use crate::claim::not_of_the_command_line;
use crate::sys::Machine;
use crate::virtualization;

/// The content of the claim's secret with this index, if it was passed: by a systemd credential, or in the environment that
/// a container manager started PID 1 with (base64 there: it takes neither zeros nor lines).
///
/// # Errors
/// In words, and nothing of the content.
pub(super) fn passed(machine: &Machine, index: usize) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
    let credential = format!("{SECRET_CREDENTIAL}{index}");
    let found = machine.system_credential(&credential).map_err(|error| Chain(&error).to_string())?;
    if let Some(content) = found.map(Zeroizing::new) {
        let words = ["systemd.set_credential=", "systemd.set_credential_binary="];
        let named = words.map(|word| format!("{word}{credential}:"));
        not_of_the_command_line(machine, &[&named[0], &named[1]])
            .map_err(|error| Chain(&error).to_string())?;
        return Ok(Some(content));
    }
    if !virtualization::is_container(machine) {
        return Ok(None);
    }
    let variable = format!("{SECRET_VARIABLE}{index}");
    let found = machine.pid1_started_with(&variable).map_err(|error| Chain(&error).to_string())?;
    let Some(text) = found.map(Zeroizing::new) else { return Ok(None) };
    not_of_the_command_line(machine, &[&format!("{variable}=")])
        .map_err(|error| Chain(&error).to_string())?;
    let content = BASE64_STANDARD.decode(&*text).map_err(|_| "what was passed is no base64".to_owned())?;
    Ok(Some(Zeroizing::new(content)))
}
