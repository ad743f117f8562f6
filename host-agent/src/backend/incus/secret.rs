//! Secrets into a container that does not run yet: written to its root disk through the server.

use std::path::{Path, PathBuf};

use firstlight_shared::secret::Secret;
use firstlight_shared::text::escape;
use serde_json::json;

use super::Incus;
use super::client::Client;
use super::client::endpoint::file::{FileKind, LookAtFile, ReadFile, RemoveFile, WriteFile};
use super::client::endpoint::instance::Kind;
use super::client::verdict::{Class, Code};
use super::fault::{act_of, act_of_look};
use super::golden::kind;
use crate::backend::{Owner, Placement, SecretFile, account_number};
use crate::outcome::{Act, Fault};

/// In bytes, of /etc/passwd and /etc/group.
const ACCOUNTS: usize = 1 << 20;
/// Of folders that are made on the way.
const FOLDER: u32 = 0o755;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Numbers {
    uid: u32,
    gid: u32,
}

impl Incus {
    pub(super) async fn write_secrets(&self, placement: &Placement, secrets: &[SecretFile]) -> Act {
        match self.try_to_write(placement, secrets).await {
            Ok(()) => Act::Applied(json!({})),
            Err(act) => act,
        }
    }

    async fn try_to_write(&self, placement: &Placement, secrets: &[SecretFile]) -> Result<(), Act> {
        if kind(&placement.plan) == Kind::VirtualMachine {
            let fault = Fault::new("no-secrets", "nothing can be written into a machine before it runs");
            return Err(Act::Refused(
                fault.with_hint("a container takes them; or let the machine's image fetch its own"),
            ));
        }
        for secret in secrets {
            check_place(placement, &secret.path).map_err(Act::Refused)?;
        }
        let client = self.site(&placement.plan.place).map_err(Act::Refused)?;
        let instance = self.ours(&client, placement).await.map_err(act_of_look)?;
        if instance.is_running() {
            let fault = Fault::new("guest-runs", "the guest runs already: it may have missed its secrets");
            return Err(Act::Refused(fault));
        }
        self.recent.forget(&placement.job);
        let users = accounts(&client, &instance.name, "/etc/passwd").await?;
        let groups = accounts(&client, &instance.name, "/etc/group").await?;
        for secret in secrets {
            let owner = numbers(secret, &users, &groups).map_err(Act::Refused)?;
            write(&client, &instance.name, secret, owner).await?;
        }
        Ok(())
    }
}

fn check_place(placement: &Placement, path: &Path) -> Result<(), Fault> {
    let shown = escape(&path.to_string_lossy(), 120);
    match placement.plan.mounts.iter().any(|mount| path.starts_with(&mount.path)) {
        true => Err(Fault::new(
            "unsupported-secret",
            format!("secrets: {shown} lies on a volume, which is not there before the guest starts"),
        )),
        false => Ok(()),
    }
}

async fn accounts(client: &Client, instance: &str, path: &str) -> Result<String, Act> {
    let read = ReadFile { instance: instance.to_owned(), path: path.to_owned(), most: ACCOUNTS };
    match client.send(&read).await {
        Ok(file) if file.kind == FileKind::File => Ok(String::from_utf8_lossy(&file.content).into_owned()),
        Ok(_) => Ok(String::new()),
        Err(error) if matches!(error.class, Class::Gone | Class::Rejected(Code::NoGuestFile)) => {
            Ok(String::new())
        }
        Err(error) => Err(act_of(&error)),
    }
}

fn numbers(secret: &SecretFile, users: &str, groups: &str) -> Result<Numbers, Fault> {
    let Owner { user, group } = &secret.owner;
    let unknown = |what: &str, name: &str| {
        Fault::new("no-such-account", format!("secrets: the golden has no {what} `{}`", escape(name, 60)))
            .with_hint("name one that it has, or a number")
    };
    Ok(Numbers {
        uid: number(users, user).ok_or_else(|| unknown("user", user))?,
        gid: number(groups, group).ok_or_else(|| unknown("group", group))?,
    })
}

/// The golden need not name root.
fn number(accounts: &str, name: &str) -> Option<u32> {
    if name == "root" { Some(0) } else { account_number(accounts, name) }
}

/// From the topmost on, without `/`.
fn folders(path: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = path.ancestors().skip(1).map(Path::to_owned).collect();
    folders.pop();
    folders.reverse();
    folders
}

/// The server follows links in the guest's root, wherever they lead: so each part of the path is looked at before anything
/// is written. A stopped guest changes nothing meanwhile.
async fn write(client: &Client, instance: &str, secret: &SecretFile, owner: Numbers) -> Result<(), Act> {
    for folder in folders(&secret.path) {
        match look(client, instance, &folder).await? {
            Some(FileKind::Directory) => {}
            None => {
                let made = Numbers { uid: 0, gid: 0 };
                send(client, instance, &folder, FileKind::Directory, (made, FOLDER), &[]).await?;
            }
            Some(found) => return Err(Act::Refused(in_the_way(&secret.path, &folder, found))),
        }
    }
    match look(client, instance, &secret.path).await? {
        None => {}
        // Overwritten it would keep its mode, its owner, and whatever other names it has.
        Some(FileKind::File) => {
            let path = secret.path.to_string_lossy().into_owned();
            let remove = RemoveFile { instance: instance.to_owned(), path };
            client.send(&remove).await.map_err(|error| act_of(&error))?;
        }
        Some(found) => return Err(Act::Refused(in_the_way(&secret.path, &secret.path, found))),
    }
    let mode = secret.mode.bits();
    send(client, instance, &secret.path, FileKind::File, (owner, mode), &secret.content).await
}

/// None: nothing.
async fn look(client: &Client, instance: &str, path: &Path) -> Result<Option<FileKind>, Act> {
    let look = LookAtFile { instance: instance.to_owned(), path: path.to_string_lossy().into_owned() };
    match client.send(&look).await {
        Ok(kind) => Ok(Some(kind)),
        Err(error) if error.class == Class::Gone => Ok(None),
        Err(error) => Err(act_of(&error)),
    }
}

async fn send(
    client: &Client,
    instance: &str,
    path: &Path,
    kind: FileKind,
    (owner, mode): (Numbers, u32),
    content: &[u8],
) -> Result<(), Act> {
    let file = WriteFile {
        instance: instance.to_owned(),
        path: path.to_string_lossy().into_owned(),
        kind,
        uid: owner.uid,
        gid: owner.gid,
        mode,
        content: Secret::new(content.to_vec()),
    };
    client.send(&file).await.map_err(|error| act_of(&error))
}

/// `place` is the secret's path, or a folder on the way to it.
fn in_the_way(secret: &Path, place: &Path, found: FileKind) -> Fault {
    let shown = |path: &Path| escape(&path.to_string_lossy(), 200);
    let (code, what, hint) = match found {
        FileKind::Symlink => (
            "secret-link",
            "a link in the golden, and the server would write wherever it leads",
            "give the path without links, or take the link out of the golden",
        ),
        FileKind::Directory => {
            ("secret-in-the-way", "a folder in the golden", "give the path of a file in it, or another one")
        }
        FileKind::File => {
            ("secret-in-the-way", "no folder in the golden", "give a path whose folders are folders")
        }
    };
    Fault::new(code, format!("secrets: {}: {} is {what}", shown(secret), shown(place))).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use zeroize::Zeroizing;

    use super::super::wanted::testing::placement;
    use super::*;
    use crate::backend::FileMode;

    const USERS: &str = "root:x:0:0:root:/root:/bin/bash\nsops:x:990:985::/:/bin/false\nodd\n";

    #[test]
    fn owners_are_the_guests_own() {
        let owner_of = |user: &str, group: &str| {
            let secret = SecretFile {
                path: "/var/lib/key".into(),
                mode: FileMode::default(),
                owner: Owner { user: user.to_owned(), group: group.to_owned() },
                content: Zeroizing::new(b"x".to_vec()),
            };
            numbers(&secret, USERS, "keys:x:44:\n")
                .map(|owner| (owner.uid, owner.gid))
                .map_err(|fault| fault.code)
        };
        assert_eq!(owner_of("sops", "keys"), Ok((990, 44)));
        assert_eq!(owner_of("root", "root"), Ok((0, 0)));
        assert_eq!(owner_of("1000", "1000"), Ok((1000, 1000)));
        assert_eq!(owner_of("nobody", "root"), Err("no-such-account".to_owned()));
        assert_eq!(owner_of("odd", "root"), Err("no-such-account".to_owned()));
    }

    #[test]
    fn a_secret_lies_where_the_guest_finds_it() {
        let guest = placement(json!({ "mounts": [{ "path": "/srv/data", "size_bytes": null }] }));
        for (path, well) in
            [("/var/lib/sops-nix/key.txt", true), ("/srv/data/key", false), ("/srv/other", true)]
        {
            assert_eq!(check_place(&guest, Path::new(path)).is_ok(), well, "{path}");
        }
    }

    #[test]
    fn what_is_in_the_way_is_named() {
        let key = Path::new("/var/run/key");
        for (place, found, code, said) in [
            ("/var/run", FileKind::Symlink, "secret-link", "/var/run/key: /var/run is a link"),
            ("/var/run/key", FileKind::Symlink, "secret-link", "/var/run/key: /var/run/key is a link"),
            ("/var/run/key", FileKind::Directory, "secret-in-the-way", "is a folder"),
            ("/var/run", FileKind::File, "secret-in-the-way", "is no folder"),
        ] {
            let fault = in_the_way(key, Path::new(place), found);
            assert_eq!(fault.code, code);
            assert!(fault.message.contains(said) && fault.hint.is_some(), "{fault:?}");
        }
    }

    #[test]
    fn folders_are_made_from_the_top() {
        let names: Vec<_> =
            folders(Path::new("/var/lib/key")).iter().map(|path| path.display().to_string()).collect();
        assert_eq!(names, ["/var", "/var/lib"]);
        assert!(folders(Path::new("/key")).is_empty());
    }
}
