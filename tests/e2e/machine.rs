//! A virtual machine: claims by SMBIOS, the virtio port and vsock, a machine-id that the hypervisor knew, and a failed
//! identity that is heard although there is no network.

use firstlight_shared::ids::MachineId;
use firstlight_shared::wire::{Claim, MachineIdState, ReportState};
use firstlight_tests::guest::machine::{Disk, Hardware};
use firstlight_tests::paths;

const UUID: &str = "5a3c7e10-1b2d-4c3e-8f90-a1b2c3d4e5f6";
const FIRST_GENERATION: &str = "324e6eaf-d1d1-4bf6-bf41-b9bb6c91fb87";
const SECOND_GENERATION: &str = "11111111-2222-3333-4444-555566667777";

/// An acknowledging host behind `systemd-socket-activate --inetd`, in shell.
const SHELL_HOST: &str = r#"#!/bin/sh
while read -r name value; do
	value=$(printf %s "$value" | tr -d '\r')
	case $name in [Cc]ontent-[Ll]ength:) length=$value ;; esac
	[ "$name" = "$(printf '\r')" ] && break
done
head -c "$length" > /run/heard
digest=$(sed -n 's/.*"report_sha256": "\(.*\)".*/\1/p' /run/firstlight/delivery.json)
ack="{\"version\":1,\"report_sha256\":\"$digest\",\"accepted_at_ms\":1}"
printf 'HTTP/1.1 200 OK\r\ncontent-length: %s\r\nconnection: close\r\n\r\n%s' "${#ack}" "$ack"
"#;

fn claim(id: &str, secret: &str) -> Claim {
    let text = format!(r#"{{"version":1,"id":"{id}","intent":"provision","hostname":"vm-01"{secret}}}"#);
    Claim::parse(text.as_bytes()).unwrap()
}

#[test]
fn a_virtual_machine_without_a_network_has_its_claim_and_its_host() {
    let mut disk = Disk::new(&paths::given(paths::GOLDENS_VARIABLE)).unwrap();
    let by_credential = claim("by-credential", r#","secret":"00112233445566778899aabbccddeeff""#);
    let by_serial = claim("by-serial", "");
    let mut hardware = Hardware {
        uuid: UUID.to_owned(),
        serial: Some(by_serial.to_one_line().to_string()),
        credentials: vec![("firstlight.claim".to_owned(), by_credential.to_one_line().to_string())],
        vmgenid: Some(FIRST_GENERATION.to_owned()),
        ..Hardware::default()
    };

    // First boot: all is well. Both claims are there, and the credential comes first.
    let (mut machine, envelope, opened) = disk.boot(&hardware).unwrap();
    eprintln!("first report after {:.1} s", machine.age().as_secs_f64());
    let report = &opened.report;
    assert_eq!(report.state, ReportState::Ready, "{report:#?}");
    assert_eq!(report.claim_id.as_deref(), Some("by-credential"));
    assert!(envelope.binding_holds(by_credential.secret.as_ref().unwrap()));
    assert!(!opened.ephemeral_key, "the host key signs");
    assert_eq!(report.facts.virtualization.as_deref(), Some("qemu"));
    // The golden's machine-id is empty: systemd makes it of the product uuid, which the hypervisor chose.
    let predicted: MachineId = UUID.parse().unwrap();
    assert_eq!(report.identity.machine_id.derived, Some(predicted.derived()));
    assert_eq!(report.identity.machine_id.state, MachineIdState::Fresh);
    assert_eq!(machine.shell("cat /etc/machine-id").unwrap(), UUID.replace('-', ""));

    // A host's half line, another guest's acknowledgement, and then ours.
    machine.say("{\"half\": \n{\"version\":1,\"report_sha256\":\"00\",\"accepted_at_ms\":1}\n").unwrap();
    machine.acknowledge(&opened).unwrap();
    let unit = "systemctl show -P ActiveState firstlight-report.service";
    let ended =
        format!("while [ \"$({unit})\" = active ]; do sleep 0.1; done; cat /run/firstlight/delivery.json");
    let delivery: serde_json::Value = serde_json::from_str(&machine.shell(&ended).unwrap()).unwrap();
    assert_eq!(delivery["state"], "acknowledged", "{delivery:#}");
    assert_eq!(delivery["claim_source"], "credential", "{delivery:#}");
    assert_eq!(delivery["channels"][0]["channel"], "virtio-port:org.firstlight.0", "{delivery:#}");
    assert_eq!(delivery["channels"][0]["attempt_count"], 1, "{delivery:#}");

    // The kernel's own vsock loopback, with a host on it; sent by the unit, in its sandbox.
    let over_vsock = format!(
        "modprobe vsock_loopback; cat > /run/host.sh <<'EOF'\n{SHELL_HOST}EOF\n\
         systemd-socket-activate --inetd -a -l vsock:1:7443 /bin/sh /run/host.sh 2>/run/host.log &\n\
         printf '[host]\\nchannels = [\"vsock:1:7443\"]\\n[checks]\\nskip = [\"network\"]\\n' > /etc/firstlight/guest.toml\n\
         rm /run/firstlight/report.json /run/firstlight/delivery.json; systemctl start firstlight-report.service\n\
         {ended} | grep -v ' \"at_ms'; kill %1; cat /run/host.log; cmp /run/heard /run/firstlight/report.json && echo same"
    );
    let said = machine.shell(&over_vsock).unwrap();
    for text in ["\"channel\": \"vsock:1:7443\"", "\"state\": \"acknowledged\"", "\nsame"] {
        assert!(said.contains(text), "no {text} in: {said}");
    }

    let generation = "modprobe qemu_fw_cfg; f=/sys/firmware/qemu_fw_cfg/by_name/etc/vmgenid_guid/raw; \
        od -An -v -tx1 -j40 -N16 $f | tr -d ' \\n'";
    assert_eq!(machine.shell(generation).unwrap(), little_endian(FIRST_GENERATION));
    machine
        .shell("printf '[ssh_host_keys]\\ntypes = [\"ed25519\"]\\n' > /etc/firstlight/guest.toml; sync")
        .unwrap();
    machine.shut_down().unwrap();

    // Second boot of the same disk: no credential, another generation, and a golden's key that cannot be removed.
    hardware.vmgenid = Some(SECOND_GENERATION.to_owned());
    hardware.credentials = vec![(
        "systemd.unit-dropin.firstlight-identity.service".to_owned(),
        "[Service]\nExecStartPre=+/usr/bin/mount -t tmpfs -o ro tmpfs /etc/ssh\n".to_owned(),
    )];
    let (mut machine, envelope, opened) = disk.boot(&hardware).unwrap();
    eprintln!("second report after {:.1} s", machine.age().as_secs_f64());
    let report = &opened.report;
    assert_eq!(report.state, ReportState::Failed, "{report:#?}");
    assert_eq!(report.claim_id.as_deref(), Some("by-serial"));
    assert_eq!(envelope.binding.and_then(|binding| binding.hmac), None);
    let problems = &report.identity.problems;
    assert!(problems.iter().any(|problem| problem.contains("host key")), "{problems:?}");
    machine.await_console("firstlight: identity FAILED, ssh stays down: ").unwrap();
    assert_eq!(machine.shell(generation).unwrap(), little_endian(SECOND_GENERATION));
    // The host's no is final, and said where somebody may see it.
    machine.say("{\"code\":\"identity-failed\",\"message\":\"not\\u001b[31m this one\"}\n").unwrap();
    machine.await_console("firstlight: the host refused the report: not\\u{1b}[31m this one").unwrap();
    let exit = "systemctl show -P ExecMainStatus firstlight-report.service";
    let ended = format!("while [ \"$({unit})\" = active ]; do sleep 0.1; done; {exit}");
    assert_eq!(machine.shell(&ended).unwrap(), "4");
    assert_eq!(machine.shell("systemctl is-active ssh.service || true").unwrap(), "inactive");
}

/// A uuid as ACPI and EFI store it: the first three fields with their bytes reversed.
fn little_endian(uuid: &str) -> String {
    let fields: Vec<&str> = uuid.split('-').collect();
    let reversed = |field: &str| -> String {
        let bytes: Vec<&str> = (0..field.len()).step_by(2).map(|at| &field[at..at + 2]).collect();
        bytes.into_iter().rev().collect()
    };
    fields
        .iter()
        .take(3)
        .map(|field| reversed(field))
        .chain(fields[3..].iter().map(|f| (*f).to_owned()))
        .collect()
}
