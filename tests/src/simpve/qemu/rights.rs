//! What a token needs to set an option of a machine, and what no token may set at all.

use super::super::access::Need;
use super::super::answer::Refusal;
use super::super::storage::storage_of;
use super::super::world::World;
use super::is_drive;

/// Root's own options.
const ROOTS: [&str; 8] =
    ["args", "vmgenid", "hookscript", "ivshmem", "lock", "affinity", "hugepages", "arch"];
const CPU: [&str; 7] = ["cores", "sockets", "cpu", "cpulimit", "cpuunits", "numa", "vcpus"];
const MEMORY: [&str; 3] = ["memory", "balloon", "shares"];
const HARDWARE: [&str; 14] = [
    "acpi", "audio", "bios", "hotplug", "keyboard", "kvm", "machine", "rng", "scsihw", "serial", "smbios",
    "tablet", "vga", "watchdog",
];
const CLOUD: [&str; 9] = [
    "cicustom",
    "cipassword",
    "citype",
    "ciupgrade",
    "ciuser",
    "ipconfig",
    "nameserver",
    "searchdomain",
    "sshkeys",
];

/// Whose rights count, and for what kind of call: the words differ a little.
#[derive(Debug, Clone, Copy)]
pub(super) struct Applicant<'a> {
    pub(super) who: &'a str,
    pub(super) id: u32,
    pub(super) pool: Option<&'a str>,
    pub(super) creates: bool,
}

impl World {
    pub(super) fn check_qemu_option(
        &self,
        applicant: Applicant,
        key: &str,
        value: &str,
    ) -> Result<(), Refusal> {
        let Applicant { who, id, pool, .. } = applicant;
        refuse_roots(applicant, key, value)?;
        let need = |privilege| self.check_guest_or_pool(who, id, pool, privilege);
        let bare = key.trim_end_matches(|letter: char| letter.is_ascii_digit());
        if is_drive(key) {
            return need(if value.contains("media=cdrom") { "VM.Config.CDROM" } else { "VM.Config.Disk" })
                .and_then(|()| self.check_drive_storage(who, value));
        }
        match bare {
            _ if CPU.contains(&bare) => need("VM.Config.CPU"),
            _ if MEMORY.contains(&bare) => need("VM.Config.Memory"),
            _ if HARDWARE.contains(&bare) => need("VM.Config.HWType"),
            _ if CLOUD.contains(&bare) => need("VM.Config.Cloudinit").or_else(|_| need("VM.Config.Network")),
            "net" => need("VM.Config.Network").and_then(|()| self.check_bridge(who, value)),
            "boot" | "bootdisk" | "vmstatestorage" | "unused" => need("VM.Config.Disk"),
            "startup" => {
                need("VM.Config.Options").and_then(|()| self.check(who, "/", &["Sys.Modify"], Need::All))
            }
            // A restore does not look, a create does so in its worker.
            "tags" if applicant.creates => Ok(()),
            _ => need("VM.Config.Options"),
        }
    }

    fn check_drive_storage(&self, who: &str, value: &str) -> Result<(), Refusal> {
        let storage = storage_of(value);
        if storage == value || value.starts_with("none") {
            return Ok(());
        }
        self.storage(storage).map_err(Refusal::died)?;
        self.check(who, &format!("/storage/{storage}"), &["Datastore.AllocateSpace"], Need::All)
    }
}

fn refuse_roots(applicant: Applicant, key: &str, value: &str) -> Result<(), Refusal> {
    let bare = key.trim_end_matches(|letter: char| letter.is_ascii_digit());
    let verb = if applicant.creates { "set" } else { "modify" };
    let text = match bare {
        _ if ROOTS.contains(&key) || bare == "parallel" => format!("only root can set '{key}' config"),
        "serial" if !value.is_empty() && value != "socket" => {
            format!("only root can {verb} '{key}' config for real devices")
        }
        "usb" if value.contains("host=") => format!("only root can set '{key}' config for real devices"),
        "hostpci" if !value.contains("mapping=") => {
            format!("only root can set '{key}' config for non-mapped devices")
        }
        _ => return Ok(()),
    };
    Err(Refusal::died(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_options_are_refused_in_the_words_of_the_real_check() {
        let table = [
            (true, "args", "x", Some("only root can set 'args' config")),
            (false, "serial1", "/dev/ttyS0", Some("only root can modify 'serial1' config for real devices")),
            (true, "serial1", "/dev/ttyS0", Some("only root can set 'serial1' config for real devices")),
            (true, "serial0", "socket", None),
            (
                false,
                "hostpci0",
                "01:00.0",
                Some("only root can set 'hostpci0' config for non-mapped devices"),
            ),
            (false, "parallel0", "/dev/parport0", Some("only root can set 'parallel0' config")),
            (true, "name", "x", None),
        ];
        for (creates, key, value, text) in table {
            let applicant = Applicant { who: "a@pve!t1", id: 100, pool: None, creates };
            let found = refuse_roots(applicant, key, value).err();
            assert_eq!(found.as_ref().map(Refusal::message), text, "{key}");
        }
    }
}
