//! Whether what was unpacked can boot.

use std::path::Path;

/// Whether a root can boot as a container: says what is missing.
pub(super) fn missing_for_boot(root: &Path) -> Option<&'static str> {
    let Ok(root) = super::super::inside::Root::open(root) else { return Some("the root itself") };
    if !root.has_folder("etc") {
        return Some("/etc");
    }
    // systemd-nspawn starts no root without it.
    if !["etc/os-release", "usr/lib/os-release"].iter().any(|path| root.has_file(path)) {
        return Some("/usr/lib/os-release");
    }
    let systemd = ["usr/lib/systemd/systemd", "lib/systemd/systemd"];
    (!systemd.iter().any(|path| root.has_file(path))).then_some("/usr/lib/systemd/systemd")
}
