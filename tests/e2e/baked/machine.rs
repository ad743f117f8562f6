//! A machine's disk, started by its own boot loader: an emulated one, without a network.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use firstlight_shared::wire::{Claim, Decision, Envelope, Report, ReportState};
use firstlight_tests::rig::terminate;
use firstlight_tests::{packages, paths, run, wait};

/// UEFI for QEMU, of the package ovmf: its program and its variables in one.
const UEFI: &str = "/usr/share/ovmf/OVMF.fd";
const CLAIM: &str = r#"{"version":1,"id":"baked","intent":"provision","hostname":"baked-01","secret":"00112233445566778899aabbccddeeff"}"#;
/// A boot takes a minute under emulation on an idle machine, and many times that on a busy one.
const PATIENCE: Duration = Duration::from_secs(1100);

/// Only in long runs: a machine's root has a kernel, and boots under emulation.
#[test]
fn a_machine_s_disk_boots_with_a_bios_and_with_uefi_grows_and_reports() {
    if !paths::full() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let more = "network = \"networkd\"\nformats = [\"raw\", \"qcow2\"]\n[machine]\ndisk = \"1G\"\n\
        command_line = \"console=ttyS0 no_timer_check panic=-1 mitigations=off\"\n[agent]\n\
        config = { ssh_host_keys = { types = [\"ed25519\"] }, checks = { skip = [\"network\"] } }\n";
    let recipe = super::recipe(folder.path(), "machine", more);
    let [one, two] = ["one", "two"].map(|name| super::built(&recipe, &folder.path().join(name), &[]));
    assert_eq!(super::digests(&one), super::digests(&two));

    let disk = super::path(&one, "qcow2");
    // Larger than it was made: the root grows.
    run::must(run::command(["qemu-img", "resize", "-q"]).arg(&disk).arg("3G")).unwrap();
    let report = boot(folder.path(), "qcow2", &disk, None);
    // A gigabyte was the root and all else; now the root alone is more than two.
    assert!(report.facts.disk_bytes.unwrap_or_default() > 2 << 30, "{:#?}", report.facts);

    if !Path::new(UEFI).exists() {
        packages::install(&["ovmf"]).unwrap();
    }
    let with_uefi = boot(folder.path(), "raw", &super::path(&two, "raw"), Some(Path::new(UEFI)));
    assert!(with_uefi.facts.disk_bytes.unwrap_or_default() < 1 << 30, "{:#?}", with_uefi.facts);
}

/// Boots it until it reports: renewed, ready and bound to the claim that the hypervisor gives it.
fn boot(folder: &Path, format: &str, disk: &Path, firmware: Option<&Path>) -> Report {
    let (port, console) = (folder.join("port"), folder.join("console"));
    for old in [&port, &console] {
        let _ = fs::remove_file(old); // of an earlier boot
    }
    let mut qemu = run::command(["timeout", "--kill-after=5", "1200", "qemu-system-x86_64", "-nodefaults"]);
    qemu.args(["-display", "none", "-no-reboot", "-nic", "none", "-machine", "q35", "-accel", "tcg"]);
    qemu.args(["-cpu", "max", "-m", "768", "-device", "virtio-serial-pci"]);
    qemu.arg("-drive").arg(format!("if=virtio,format={format},file={}", disk.display()));
    qemu.arg("-serial").arg(format!("file:{}", console.display()));
    qemu.arg("-chardev").arg(format!("socket,server=on,wait=off,id=port,path={}", port.display()));
    qemu.args(["-device", "virtserialport,chardev=port,name=org.firstlight.0"]);
    let credential = format!("io.systemd.credential:firstlight.claim={CLAIM}");
    qemu.arg("-smbios").arg(format!("type=11,value={}", credential.replace(',', ",,")));
    if let Some(firmware) = firmware {
        qemu.arg("-bios").arg(firmware);
    }
    let began = Instant::now();
    let _machine = Machine(qemu.spawn().unwrap());
    let said = || String::from_utf8_lossy(&fs::read(&console).unwrap_or_default()).into_owned();
    let port =
        wait::until("QEMU's socket", Duration::from_secs(30), || UnixStream::connect(&port).ok()).unwrap();
    port.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut lines = BufReader::new(port).lines().map_while(Result::ok);
    let Some(envelope) = lines.find_map(|line| Envelope::parse(line.as_bytes()).ok()) else {
        panic!("no report\n{}", run::tail(&said(), 40));
    };
    let report = envelope.open().expect("a report that verifies").report;
    eprintln!("a report {:.1} s after {firmware:?} began", began.elapsed().as_secs_f64());
    assert_eq!(
        (report.state, report.identity.decision),
        (ReportState::Ready, Decision::Renew),
        "{report:#?}"
    );
    let claim = Claim::parse(CLAIM.as_bytes()).unwrap();
    assert!(envelope.binding_holds(claim.secret.as_ref().unwrap()), "{report:#?}");
    report
}

/// Dropping it ends it.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        terminate(self.0.id()); // `timeout` hands it on
        let _ = self.0.wait();
    }
}
