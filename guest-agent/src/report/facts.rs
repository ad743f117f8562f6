//! Facts for people: what system this is and how big.

use std::path::Path;

use firstlight_shared::wire::Facts;
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

use crate::paths;
use crate::sys::{Machine, mount_at, space_of};
use crate::virtualization;

/// `systemd` is its version, which only the bus tells.
pub(super) fn gather(machine: &Machine, systemd: Option<String>) -> Facts {
    let os = paths::OS_RELEASE.iter().find_map(|path| pretty_name(&machine.root.read_text(path).ok()??));
    let wanted = RefreshKind::nothing()
        .with_cpu(CpuRefreshKind::nothing())
        .with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(wanted).ok();
    let cpu =
        system.as_ref().and_then(|system| system.cpus().first()).map(|cpu| cpu.brand().trim().to_owned());
    let memory = system.as_ref().map(System::total_memory);
    let (root, disk) = if machine.live {
        (mount_at("/").ok().flatten(), space_of(Path::new("/")).ok())
    } else {
        (None, None)
    };
    Facts {
        os,
        kernel: System::kernel_version().ok(),
        architecture: std::env::consts::ARCH.to_owned(),
        virtualization: virtualization::detect(machine),
        cpus: std::thread::available_parallelism().ok().and_then(|count| u32::try_from(count.get()).ok()),
        memory_bytes: memory.filter(|bytes| *bytes > 0),
        systemd,
        cpu_model: cpu.filter(|model| !model.is_empty()),
        root_fstype: root.map(|mount| mount.fstype),
        disk_bytes: disk.map(|space| space.total),
        disk_free_bytes: disk.map(|space| space.available),
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
