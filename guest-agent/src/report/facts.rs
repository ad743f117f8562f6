//! Facts for people: what system this is and how big.

use std::path::Path;

use firstlight_shared::wire::Facts;
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use crate::paths;
use crate::sys::{Machine, mount_at, space_of};
use crate::virtualization;

/// `systemd` is its version, which only the bus tells.
pub(super) fn gather(machine: &Machine, systemd: Option<String>) -> Facts {
    let os = paths::OS_RELEASE.iter().find_map(|path| pretty_name(&machine.root.read_text(path).ok()??));
    let wanted = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let memory = System::new_with_specifics(wanted).map(|system| system.total_memory());
    let cpu = machine.root.read_text(paths::CPU_INFO).ok().flatten();
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
        memory_bytes: memory.ok().filter(|bytes| *bytes > 0),
        systemd,
        cpu_model: cpu.as_deref().and_then(cpu_model),
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

/// `model name` of the first processor; sysinfo's way to it costs 10 KB. Not every architecture has one.
fn cpu_model(text: &str) -> Option<String> {
    let (_, model) =
        text.lines().find_map(|line| line.split_once(':').filter(|(key, _)| key.trim() == "model name"))?;
    Some(model.trim().to_owned()).filter(|model| !model.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_processors_model_is_taken() {
        let text = "processor\t: 0\nmodel name\t: Some CPU: 2 GHz\n\nprocessor\t: 1\nmodel name\t: Other\n";
        assert_eq!(cpu_model(text).as_deref(), Some("Some CPU: 2 GHz"));
        assert_eq!(cpu_model("processor\t: 0\nBogoMIPS\t: 50\n"), None);
    }

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
