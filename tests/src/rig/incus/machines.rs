//! What a server wants before it makes machines, as far as it can be lent: the module vhost_vsock and a firmware. KVM and
//! QEMU have to be there. Machines are made, changed and removed for real then; none starts.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::run;

/// The server looks for it by this name.
const MODPROBE: &str = "modprobe";

/// Puts it below `folder`; what the server is to have in its environment.
pub(super) fn lend(folder: &Path) -> Result<Vec<(&'static str, String)>> {
    for device in ["/dev/kvm", "/dev/vsock"] {
        ensure!(Path::new(device).exists(), "there is no {device}: Incus makes no machines without it");
    }
    let (programs, firmware) = (folder.join("bin"), folder.join("edk2"));
    fs::create_dir_all(&programs)?;
    fs::create_dir_all(&firmware)?;
    let modprobe = programs.join(MODPROBE);
    fs::write(&modprobe, include_str!("machines/modprobe.py"))?;
    fs::set_permissions(&modprobe, fs::Permissions::from_mode(0o755))?;
    // Nothing boots from it.
    for (name, length) in [("OVMF_CODE.fd", 4 << 20), ("OVMF_VARS.fd", 528 << 10)] {
        fs::write(firmware.join(name), vec![0; length])?;
    }
    let path = std::env::var("PATH").unwrap_or_default();
    Ok(vec![
        ("PATH", format!("{}:{path}", programs.display())),
        ("INCUS_EDK2_PATH", firmware.display().to_string()),
    ])
}

/// A disk with nothing on it, as an image of a machine has one.
pub(super) fn empty_disk(path: &Path) -> Result<()> {
    run::must(run::command(["qemu-img", "create", "-q", "-f", "qcow2"]).arg(path).arg("16M")).map(drop)
}
