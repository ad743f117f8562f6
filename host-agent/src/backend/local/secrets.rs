//! Secrets go straight into the root of the guest that does not run yet. No copy is anywhere else, so that there is no
//! channel to be emptied: the folder around the root is root's alone, and goes with the guest.
//!
//! A systemd credential would be a second copy, which stays readable in the running guest.

use std::io;
use std::path::{Path, PathBuf};

use firstlight_shared::text::escape;
use serde_json::{Value, json};

use super::inside::{Ids, Root};
use super::stamp::{self, Standing};
use super::{Local, machine};
use crate::backend::{Owner, Placement, SecretFile, account_number};
use crate::outcome::Fault;

/// passwd(5) and group(5) of a guest are smaller.
const ACCOUNTS: usize = 4 << 20;
/// Of the guest's own file systems, which hide what lies there before the start.
const MOUNTED_OVER: [&str; 5] = ["proc", "sys", "dev", "run", "tmp"];

impl Local {
    /// # Errors
    /// Nothing, or a part of them, is in the guest's root, which does not run; a repetition mends that.
    pub(super) fn deliver_secrets(&self, guest: &Placement, secrets: &[SecretFile]) -> Result<Value, Fault> {
        match stamp::standing(&self.names, guest) {
            Standing::Ours => {}
            Standing::Other(whose) => return Err(stamp::foreign(&self.names, guest, &whose)),
            Standing::Free => return machine::still_ours(&self.names, guest).map(|()| Value::Null),
        }
        let folder = self.names.folder(&guest.plan.name);
        let root = Root::open(&folder.root()).map_err(|error| fault("open the guest's root", &error))?;
        for secret in secrets {
            let ids = ids_of(&root, &secret.owner)?;
            let shown = escape(&secret.path.to_string_lossy(), 200);
            let failed = |error: io::Error| fault(&format!("put the secret {shown} into the guest"), &error);
            let hidden = |what: &str| {
                Fault::new("secret-hidden", format!("the secret {shown} {what}")).with_hint(
                    "choose a place on the guest's own disk, or on one of its mounts by that mount's own path",
                )
            };
            let (within, path) = match volume_of(guest, &secret.path) {
                Some((index, rest)) => {
                    let volume = folder.mount(index);
                    (&Root::open(&volume).map_err(failed)?, rest)
                }
                None => (&root, inside(&secret.path)),
            };
            let (parent, name) = split(&path).ok_or_else(|| hidden("is no file's path"))?;
            within.make_folders(&parent).map_err(failed)?;
            let real = within.real_path(&parent).map_err(failed)?;
            if std::ptr::eq(within, &root) && is_hidden(guest, &real) {
                let real = escape(&real.join(&name).to_string_lossy(), 200);
                return Err(hidden(&format!(
                    "would lie at /{real} by a link, where the guest mounts something over it"
                )));
            }
            machine::still_ours(&self.names, guest)?;
            within.put(&parent, &name, &secret.content, ids, secret.mode.bits()).map_err(failed)?;
        }
        Ok(json!({}))
    }
}

/// Its mount, if it lies in one, and the path there.
fn volume_of(guest: &Placement, path: &Path) -> Option<(usize, PathBuf)> {
    let mounts = guest.plan.mounts.iter().enumerate();
    let around = mounts.filter_map(|(index, mount)| Some((index, path.strip_prefix(&mount.path).ok()?)));
    around.min_by_key(|(_, rest)| rest.components().count()).map(|(index, rest)| (index, rest.to_owned()))
}

/// `real` is relative to the root.
fn is_hidden(guest: &Placement, real: &Path) -> bool {
    let mounts = guest.plan.mounts.iter().map(|mount| inside(&mount.path));
    MOUNTED_OVER.iter().map(PathBuf::from).chain(mounts).any(|place| real.starts_with(place))
}

fn inside(path: &Path) -> PathBuf {
    path.strip_prefix("/").unwrap_or(path).to_owned()
}

fn split(path: &Path) -> Option<(PathBuf, String)> {
    Some((path.parent()?.to_owned(), path.file_name()?.to_str()?.to_owned()))
}

/// As the guest's own files name them: never those of this machine.
fn ids_of(root: &Root, owner: &Owner) -> Result<Ids, Fault> {
    let number = |name: &str, file: &str| -> Result<u32, Fault> {
        if let Some(number) = account_number("", name) {
            return Ok(number);
        }
        let bytes =
            root.read(file, ACCOUNTS).map_err(|error| fault(&format!("read the guest's /{file}"), &error))?;
        account_number(&String::from_utf8_lossy(&bytes), name).ok_or_else(|| {
            Fault::new("secret-owner", format!("the guest's /{file} has no `{}`", escape(name, 64)))
                .with_hint("give a number, or an owner that the golden has")
        })
    };
    Ok(Ids { user: number(&owner.user, "etc/passwd")?, group: number(&owner.group, "etc/group")? })
}

fn fault(what: &str, error: &io::Error) -> Fault {
    Fault::new("secret-not-delivered", format!("cannot {what}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, symlink};
    use std::sync::Mutex;

    use zeroize::Zeroizing;

    use super::super::allocate::Allocator;
    use super::super::fabric::Fabric;
    use super::super::names::Names;
    use super::super::testing::placement;
    use super::*;
    use crate::backend::Mount;

    /// A guest whose root has a few files, one mount, and links that lead elsewhere.
    fn made(folder: &Path) -> (Local, Placement, PathBuf) {
        let names = Names::new(folder.into());
        let mut guest = placement("web-01", "j1");
        let mount = |path: &str| Mount { path: path.into(), size_bytes: None, storage: None, backup: None };
        guest.plan.mounts = vec![mount("/srv"), mount("/srv/deep")];
        stamp::ensure_stamped(&names, &guest).unwrap();
        let root = names.folder(&guest.plan.name).root();
        for name in ["etc", "var", "real", "run", "srv/deep"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        for index in 0..2 {
            std::fs::create_dir_all(names.folder(&guest.plan.name).mount(index)).unwrap();
        }
        let own = std::fs::metadata(&root).unwrap();
        std::fs::write(root.join("etc/passwd"), format!("me:x:{}:0::/:\n", own.uid())).unwrap();
        std::fs::write(root.join("etc/group"), format!("us:x:{}:\n", own.gid())).unwrap();
        symlink("/run", root.join("var/run")).unwrap();
        symlink("/srv/deep", root.join("var/data")).unwrap();
        symlink("/../real", root.join("var/real")).unwrap();
        symlink("/etc/passwd", root.join("etc/key")).unwrap();
        let fabric = Fabric::new(&names, 1);
        (Local { names, fabric, allocator: Mutex::new(Allocator::default()) }, guest, root)
    }

    fn secret(path: &str, owner: &str) -> SecretFile {
        SecretFile {
            path: path.into(),
            mode: "0440".parse().unwrap(),
            owner: owner.parse().unwrap(),
            content: Zeroizing::new(b"hunter2".to_vec()),
        }
    }

    #[test]
    fn a_secret_lies_where_the_guest_will_see_it() {
        let folder = tempfile::tempdir().unwrap();
        let (local, guest, root) = made(folder.path());
        let volumes = local.mount_folders(&guest);
        for (path, place) in [
            ("/etc/key", root.join("etc/key")),
            ("/var/lib/new/key", root.join("var/lib/new/key")),
            ("/var/real/key", root.join("real/key")),
            ("/srv/key", volumes[0].join("key")),
            ("/srv/deep/a/key", volumes[1].join("a/key")),
        ] {
            for _ in 0..2 {
                local.deliver_secrets(&guest, &[secret(path, "me:us")]).unwrap();
            }
            let found = std::fs::symlink_metadata(&place).unwrap();
            assert_eq!((found.is_file(), found.mode() & 0o7777), (true, 0o440), "{path}");
            assert_eq!(std::fs::read(&place).unwrap(), b"hunter2");
            assert_eq!(
                std::fs::read_dir(place.parent().unwrap())
                    .unwrap()
                    .flatten()
                    .filter(|entry| entry.file_name().to_string_lossy().starts_with('.'))
                    .count(),
                0
            );
        }
        assert!(std::fs::read_to_string(root.join("etc/passwd")).unwrap().starts_with("me:"));
        assert_eq!(std::fs::metadata(root.join("var/lib/new")).unwrap().mode() & 0o7777, 0o755);
        for (path, owner, code) in [
            ("/var/run/key", "me:us", "secret-hidden"),
            ("/var/data/key", "me:us", "secret-hidden"),
            ("/etc/k", "nobody-here:us", "secret-owner"),
            ("/etc/k", "me:nobody-here", "secret-owner"),
            ("/etc/passwd/k", "me:us", "secret-not-delivered"),
        ] {
            let fault = local.deliver_secrets(&guest, &[secret(path, owner)]).unwrap_err();
            assert_eq!(fault.code, code, "{path}: {fault:?}");
            assert!(!format!("{fault:?}").contains("hunter2"));
        }
    }

    #[test]
    fn a_guest_of_another_job_gets_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (local, mut guest, root) = made(folder.path());
        guest.job = "j2".into();
        let fault = local.deliver_secrets(&guest, &[secret("/etc/k", "me:us")]).unwrap_err();
        assert_eq!(fault.code, "foreign-guest");
        assert!(!root.join("etc/k").exists());
        guest.plan.name = "web-02".parse().unwrap();
        assert_eq!(
            local.deliver_secrets(&guest, &[secret("/etc/k", "me:us")]).unwrap_err().code,
            "guest-gone"
        );
    }
}
