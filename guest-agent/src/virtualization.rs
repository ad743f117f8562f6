//! In what kind of machine this is, from the signs that a container manager or a hypervisor leaves.

use firstlight_shared::ids::MachineId;

use crate::paths;
use crate::sys::Machine;

/// Vendors (DMI) whose machines are virtual, with the name that systemd-detect-virt gives them.
const VENDORS: [(&str, &str); 10] = [
    ("QEMU", "qemu"),
    ("KVM", "kvm"),
    ("VMware", "vmware"),
    ("innotek GmbH", "oracle"),
    ("Xen", "xen"),
    ("Bochs", "bochs"),
    ("Parallels", "parallels"),
    ("Google", "google"),
    ("Amazon EC2", "amazon"),
    ("Apple Virtualization", "apple"),
];

/// The container manager's or hypervisor's name; none on bare metal, for a foreign root, or if nothing tells.
pub(crate) fn detect(machine: &Machine) -> Option<String> {
    if let Some(container) = container(machine) {
        return Some(container);
    }
    let text = |path| machine.root.read_text(path).ok().flatten().unwrap_or_default();
    if !machine.live {
        return None;
    }
    let known = vendor_of(&text(paths::DMI_VENDOR), &text(paths::DMI_PRODUCT)).map(str::to_owned);
    // Vendors may be changed (Proxmox' `smbios1: manufacturer=`); the processor still says that there is a hypervisor.
    known.or_else(|| has_hypervisor_flag(&text(paths::CPUINFO)).then(|| "vm-other".to_owned()))
}

/// The CPUID bit as the kernel lists it for x86.
fn has_hypervisor_flag(cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().find_map(|line| line.strip_prefix("flags")?.split_once(':'));
    flags.is_some_and(|(_, flags)| flags.split_ascii_whitespace().any(|flag| flag == "hypervisor"))
}

pub(crate) fn is_container(machine: &Machine) -> bool {
    container(machine).is_some()
}

/// The container manager's name; none where this is no container, or for a foreign root.
pub(crate) fn container(machine: &Machine) -> Option<String> {
    let told = || machine.root.read_text("run/systemd/container").ok().flatten();
    let name = machine.pid1_variable("container").or_else(|| machine.live.then(told)?)?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

fn vendor_of(vendor: &str, product: &str) -> Option<&'static str> {
    if vendor.starts_with("Microsoft") {
        return product.starts_with("Virtual Machine").then_some("microsoft");
    }
    VENDORS
        .into_iter()
        .find(|(sign, _)| vendor.starts_with(sign) || product.starts_with(sign))
        .map(|(_, n)| n)
}

/// The DMI product uuid, where the machine is virtual: in a container it is the node's, on bare metal the board's.
pub(crate) fn product_uuid(machine: &Machine) -> Option<MachineId> {
    if container(machine).is_some() || detect(machine).is_none() {
        return None;
    }
    let text = machine.root.read_text(paths::DMI_UUID).ok()??;
    let unset = text.trim().chars().all(|c| matches!(c, 'f' | 'F' | '-'));
    if unset { None } else { text.parse().ok() }
}

/// Hypervisors whose product uuid systemd makes the machine-id of.
///
/// Source: generate_machine_id() in systemd's src/shared/machine-id-setup.c (KVM, QEMU, Amazon).
const UUID_GIVES_MACHINE_ID: [&str; 3] = ["kvm", "qemu", "amazon"];

/// The machine-id that systemd makes of the product uuid where there is none; none where it does not.
pub(crate) fn machine_id_of_product(machine: &Machine) -> Option<MachineId> {
    let kind = detect(machine)?;
    UUID_GIVES_MACHINE_ID.contains(&kind.as_str()).then(|| product_uuid(machine))?
}

/// Where the GUID begins in the page: room for OVMF's header probe is before it. Source: hw/acpi/vmgenid.h of QEMU.
const GENERATION_OFFSET: usize = 40;

/// QEMU's generation id of this virtual machine: another one after each clone, restore and rollback. None in a container
/// (it is the node's), without the device, or without the kernel's qemu_fw_cfg driver.
pub(crate) fn vm_generation(machine: &Machine) -> Option<MachineId> {
    if container(machine).is_some() || detect(machine).is_none() {
        return None;
    }
    generation_of(&machine.root.read(paths::VM_GENERATION).ok()??)
}

fn generation_of(page: &[u8]) -> Option<MachineId> {
    let guid = page.get(GENERATION_OFFSET..GENERATION_OFFSET + 16)?;
    let digits: String = guid.iter().map(|byte| format!("{byte:02x}")).collect();
    // All zero is no id: that is what `MachineId` refuses, too.
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generation_is_found_in_its_page() {
        let mut page = vec![0; 4096];
        assert_eq!(generation_of(&page), None, "all zero");
        page[40..56].copy_from_slice(&[7; 16]);
        assert_eq!(generation_of(&page), "07".repeat(16).parse().ok());
        assert_eq!(generation_of(&page[..55]), None);
        assert_eq!(generation_of(&[]), None);
    }

    #[test]
    fn vendors_of_virtual_machines_are_known() {
        for (vendor, product, name) in [
            ("QEMU\n", "Standard PC (i440FX + PIIX, 1996)\n", Some("qemu")),
            ("Microsoft Corporation", "Virtual Machine", Some("microsoft")),
            ("Microsoft Corporation", "Surface", None),
            ("Dell Inc.", "PowerEdge", None),
            ("Red Hat", "KVM", Some("kvm")),
            ("", "", None),
        ] {
            assert_eq!(vendor_of(vendor, product), name, "{vendor}");
        }
    }
}
