//! Facts for people: what system this is and how big.

use firstlight_shared::wire::Facts;
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use crate::paths;
use crate::sys::Machine;
use crate::virtualization;

pub(super) fn gather(machine: &Machine) -> Facts {
    let os = paths::OS_RELEASE.iter().find_map(|path| pretty_name(&machine.root.read_text(path).ok()??));
    let wanted = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let memory = System::new_with_specifics(wanted).map(|system| system.total_memory());
    Facts {
        os,
        kernel: System::kernel_version().ok(),
        architecture: std::env::consts::ARCH.to_owned(),
        virtualization: virtualization::detect(machine),
        cpus: std::thread::available_parallelism().ok().and_then(|count| u32::try_from(count.get()).ok()),
        memory_bytes: memory.ok().filter(|bytes| *bytes > 0),
    }
}

/// `PRETTY_NAME` of os-release(5), without its quotes.
pub(crate) fn pretty_name(text: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(value.trim().trim_matches(['"', '\'']).to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pretty_name_loses_its_quotes() {
        assert_eq!(pretty_name("ID=x\nPRETTY_NAME=\"Debian 13\"\n").as_deref(), Some("Debian 13"));
        assert_eq!(pretty_name("PRETTY_NAME=\n"), None);
    }

    proptest::proptest! {
        #[test]
        fn no_os_release_makes_it_panic(text in "(PRETTY_NAME=|\"|'|\n|é|\\PC){0,60}") {
            let name = pretty_name(&text);
            proptest::prop_assert!(name.is_none_or(|name| !name.is_empty() && !name.contains('\n')));
        }
    }
}
