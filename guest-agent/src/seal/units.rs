//! What is installed besides the program: the units, their drop-ins, the preset, and a word to cloud-init. They are in
//! the program, so that one file can seal an image.

/// What a package installs.
pub(super) const FOLDER: &str = "usr/lib/systemd/system";
/// What is enabled in an image.
pub(super) const ENABLED: &str = "etc/systemd/system";

macro_rules! text {
    ($name:literal) => {
        include_str!(concat!("../../../units/guest/", $name))
    };
}

/// Names below [`FOLDER`], and texts.
pub(super) const UNITS: [(&str, &str); 5] = [
    ("firstlight-gate.target", text!("firstlight-gate.target")),
    ("firstlight-identity.service", text!("firstlight-identity.service")),
    ("firstlight-report.service", text!("firstlight-report.service")),
    ("firstlight-evidence.service", text!("firstlight-evidence.service")),
    ("firstlight-evidence.timer", text!("firstlight-evidence.timer")),
];

/// Units that are a way in, and wait.
pub(super) const WAYS_IN: [&str; 20] = [
    "dropbear.service",
    "dropbear.socket",
    "dropbear@.service",
    "ssh.service",
    "ssh.socket",
    "ssh@.service",
    "sshd-extra-.socket",
    "sshd-extra.socket",
    "sshd-generated@.service",
    "sshd-unix-export.socket",
    "sshd-unix-export@.service",
    "sshd-unix-local.socket",
    "sshd-unix-local@.service",
    "sshd-vsock.socket",
    "sshd-vsock@.service",
    "sshd.service",
    "sshd.socket",
    "sshd@.service",
    "tinysshd.socket",
    "tinysshd@.service",
];

/// Units that would make host keys on the way to sshd, and stand down.
pub(super) const MAKERS: [&str; 2] = ["sshd-keygen.service", "sshd-keygen@.service"];

const WAIT: &str = text!("ssh.service.d/10-firstlight.conf");
const STAND_DOWN: &str = text!("sshd-keygen.service.d/10-firstlight.conf");

/// Every file below [`FOLDER`]: its path in the root, and its text.
pub(super) fn files() -> impl Iterator<Item = (String, &'static str)> {
    let drop_in = |unit: &str| format!("{FOLDER}/{unit}.d/10-firstlight.conf");
    let units = UNITS.iter().map(|(name, text)| (format!("{FOLDER}/{name}"), *text));
    let ways_in = WAYS_IN.iter().map(move |unit| (drop_in(unit), WAIT));
    let makers = MAKERS.iter().map(move |unit| (drop_in(unit), STAND_DOWN));
    units.chain(ways_in).chain(makers)
}

/// Links that a package brings: the gate is part of every boot, and leads nowhere while nothing is enabled.
pub(super) const GATE: (&str, &str) =
    ("usr/lib/systemd/system/sysinit.target.wants/firstlight-gate.target", "../firstlight-gate.target");

/// As `systemctl enable --root=ROOT` links them: unit, and whose it becomes.
pub(super) const ENABLE: [(&str, &str); 2] = [
    ("firstlight-identity.service", "firstlight-gate.target.requires"),
    ("firstlight-report.service", "multi-user.target.wants"),
];

/// So that a true first boot, which applies all presets, does not undo it.
pub(super) const PRESET: (&str, &str) =
    ("etc/systemd/system-preset/10-firstlight.preset", text!("10-firstlight.preset"));

/// Where cloud-init is: it would make host keys of its own after ours, RSA among them, on the way to sshd.
pub(super) const CLOUD: (&str, &str) = (
    "etc/cloud/cloud.cfg.d/95-firstlight.cfg",
    "# Firstlight makes the host keys.\nssh_deletekeys: false\nssh_genkeytypes: []\n",
);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::Path;

    use super::*;

    fn read(folder: &Path, below: &str, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{below}{}", path.file_name().unwrap().to_str().unwrap());
            if path.is_dir() {
                read(&path, &format!("{name}/"), found);
            } else {
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }

    #[test]
    fn every_file_of_the_units_folder_is_in_the_program() {
        let mut source = BTreeMap::new();
        read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../units/guest"), "", &mut source);
        let prefix = format!("{FOLDER}/");
        let mut own: BTreeMap<String, String> = files()
            .map(|(path, text)| (path.strip_prefix(&prefix).unwrap().to_owned(), text.to_owned()))
            .collect();
        own.insert("10-firstlight.preset".to_owned(), PRESET.1.to_owned());
        assert_eq!(own, source);
    }
}
