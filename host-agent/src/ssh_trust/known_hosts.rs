//! Lines of known_hosts. Source: sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT".

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha1::Sha1;

/// The port that a name without one means.
pub(crate) const SSH_PORT: u16 = 22;
/// Bytes of a salt: those of the hash.
pub(crate) const SALT: usize = 20;

/// How hosts are named in lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Form {
    /// Other ports than 22 are written `[name]:port`.
    pub(crate) port: u16,
    /// Each name on a line of its own that does not show it.
    pub(crate) hashed: bool,
}

/// Lines for one key (type and base64) of a host with these names. `salt` makes fresh random bytes.
pub(crate) fn lines(names: &[String], key: &str, form: Form, mut salt: impl FnMut() -> [u8; SALT]) -> String {
    let names = names.iter().map(|name| pattern(name, form.port));
    if !form.hashed {
        return format!("{} {key}\n", names.collect::<Vec<_>>().join(","));
    }
    names.map(|name| format!("{} {key}\n", hashed(&name, &salt()))).collect()
}

/// A host as ssh looks it up.
fn pattern(name: &str, port: u16) -> String {
    if port == SSH_PORT { name.to_owned() } else { format!("[{name}]:{port}") }
}

/// `|1|SALT|HASH`, as `ssh-keygen -H` writes it: HMAC-SHA1 with the salt as key. ssh looks hosts up in lower case.
fn hashed(name: &str, salt: &[u8; SALT]) -> String {
    // Keys of any length are taken.
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(salt) else { return String::new() };
    mac.update(name.to_lowercase().as_bytes());
    format!("|1|{}|{}", STANDARD.encode(salt), STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJGMBhn3H2vfAl08gVL0uZn2bRF4DOyHIQ8IMd7CXxGL";

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_and_addresses_stand_as_ssh_looks_them_up() {
        for (hosts, port, wanted) in [
            (&["web-01", "10.0.0.5"][..], 22, "web-01,10.0.0.5"),
            (&["web-01", "fd00::5"], 22, "web-01,fd00::5"),
            (&["web-01", "fd00::5"], 2222, "[web-01]:2222,[fd00::5]:2222"),
        ] {
            let form = Form { port, hashed: false };
            assert_eq!(lines(&names(hosts), KEY, form, || [0; SALT]), format!("{wanted} {KEY}\n"));
        }
    }

    #[test]
    fn ssh_keygen_finds_hashed_names_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known_hosts");
        for port in [22, 2222] {
            let mut number = 0;
            let salt = || {
                number += 1;
                [number; SALT]
            };
            let form = Form { port, hashed: true };
            let text = lines(&names(&["Web-01", "10.0.0.5", "fd00::5"]), KEY, form, salt);
            assert!(!text.contains("10.0.0.5") && text.lines().count() == 3, "{text}");
            std::fs::write(&file, text).unwrap();
            let finds = |name: &str| {
                let looked = Command::new("ssh-keygen").arg("-F").arg(name).arg("-f").arg(&file).output();
                looked.unwrap().status.success()
            };
            for (name, there) in [("web-01", true), ("10.0.0.5", true), ("fd00::5", true), ("web-02", false)]
            {
                assert_eq!(finds(&pattern(name, port)), there, "{name} {port}");
            }
        }
    }
}
