use serde_json::{Value, json};

use super::*;
use crate::backend::proxmox::client::call::Call;
use crate::backend::proxmox::client::endpoint::Endpoint as _;
use crate::backend::proxmox::client::endpoint::node::ArchiveConfig;
use crate::backend::proxmox::qemu::testing::placement;

const GOLDEN: &str = "agent: 1\nboot: order=scsi0\ncores: 1\nmemory: 512\nname: golden-vm\n\
    net0: virtio=BC:24:11:AA:BB:CC,bridge=vmbr0,firewall=1\nscsi0: local:9200/vm-9200-disk-0.raw,size=1536M\n\
    smbios1: uuid=77250a18-41e2-4b60-9abe-b03dd3b3e545,manufacturer=QUJD,base64=1\ntags: golden;x86\n";

fn defaults() -> Defaults {
    Defaults { pool: Some("lab".to_owned()), ..Defaults::default() }
}

fn sent(plan: Value, archive: &str) -> Result<Call, Fault> {
    let guest = placement(plan);
    let archive = Archive::new(&guest.plan.golden, ArchiveConfig(archive.to_owned()));
    let target = target(&guest).unwrap();
    request(&guest, &target, &archive, &defaults()).map(|request| request.call())
}

fn parameter<'a>(call: &'a Call, name: &str) -> Option<&'a str> {
    let mut found = call.parameters.iter().filter(|(known, _)| known == name);
    let value = found.next().map(|(_, value)| value.as_str());
    assert!(found.next().is_none(), "{name} is sent twice");
    value
}

#[test]
fn a_new_machine_gets_all_of_its_own_in_one_call() {
    let plan = json!({
        "size": { "cores": 2, "memory_bytes": 1_073_741_825_u64, "disk_bytes": 4_294_967_296_u64 },
        "place": { "storage": "thin" }, "tags": ["Web", "firstlight"],
        "mounts": [{ "path": "/srv", "size_bytes": 1 }],
    });
    let call = sent(plan, GOLDEN).unwrap();
    for (name, expected) in [
        ("vmid", Some("104")),
        ("storage", Some("thin")),
        ("pool", Some("lab")),
        ("name", Some("web-01")),
        ("net0", Some("virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1")),
        ("net1", None),
        ("cores", Some("2")),
        ("memory", Some("1025")),
        ("tags", Some("firstlight;web")),
        ("onboot", Some("0")),
        // The golden has neither.
        ("protection", None),
        ("template", None),
        // Disks are refused beside an archive, and `unique` would choose for itself.
        ("scsi0", None),
        ("scsi1", None),
        ("unique", None),
        ("start", None),
        ("force", None),
    ] {
        assert_eq!(parameter(&call, name), expected, "{name}");
    }
    let description = parameter(&call, "description").unwrap();
    assert_eq!(stamp::job_of(description), Some("0123abcd"));
    let smbios = parameter(&call, "smbios1").unwrap();
    assert!(smbios.contains("uuid=11111111-2222-3333-4444-555555555555,manufacturer=QUJD"), "{smbios}");
    assert!(smbios.contains(",serial="), "{smbios}");
}

#[test]
fn what_the_golden_may_bring_that_would_be_in_the_way_is_switched_off() {
    let call = sent(json!({}), &format!("{GOLDEN}onboot: 1\nprotection: 1\ntemplate: 1\n")).unwrap();
    for name in ["onboot", "protection", "template"] {
        assert_eq!(parameter(&call, name), Some("0"), "{name}");
    }
    let call = sent(json!({ "onboot": true }), GOLDEN).unwrap();
    assert_eq!(parameter(&call, "onboot"), Some("1"));
}

#[test]
fn a_machine_that_comes_back_keeps_name_devices_uuid_and_tags() {
    let call = sent(json!({ "intent": "restore" }), GOLDEN).unwrap();
    for name in ["name", "net0", "unique", "cores", "memory"] {
        assert_eq!(parameter(&call, name), None, "{name}");
    }
    assert_eq!(parameter(&call, "tags"), Some("golden;x86;firstlight"));
    let smbios = parameter(&call, "smbios1").unwrap();
    assert!(smbios.contains("uuid=77250a18-41e2-4b60-9abe-b03dd3b3e545"), "{smbios}");
    assert!(smbios.contains(",serial="), "{smbios}");
}

#[test]
fn a_new_machine_never_has_the_goldens_uuid() {
    let mut guest = placement(json!({}));
    guest.allocation.slot.as_mut().unwrap().uuid = None;
    let archive = Archive::new("local:backup/x", ArchiveConfig(GOLDEN.to_owned()));
    let fault = request(&guest, &target(&guest).unwrap(), &archive, &defaults()).unwrap_err();
    assert!(fault.message.contains("UUID"), "{fault}");
}

#[test]
fn only_a_restore_that_did_not_begin_is_asked_for_again() {
    let left = |exit: &str, removable| Unfinished {
        guest: target(&placement(json!({}))).unwrap(),
        task: "UPID:pve1:00000D27:00056742:6B017F12:qmrestore:104:lab@pve!host:".parse().unwrap(),
        exit: exit.to_owned(),
        removable,
    };
    let busy = "can't lock file '/var/lock/qemu-server/lock-104.conf' - got timeout";
    let prefixed = format!("unable to restore VM 104 - {busy}");
    for (exit, removable, expected) in [
        (busy, true, true),
        (&*prefixed, true, true),
        (busy, false, false),
        ("unexpected status", true, false),
        ("storage 'x' does not exist", true, false),
    ] {
        assert_eq!(is_untouched(&left(exit, removable)), expected, "{exit}");
    }
}
