//! What is laid out beside the root before it is made: the recipe's files, and hooks that put them in.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use super::recipe::{Network, Recipe};
use super::{bootstrap, tools};
use crate::outcome::Fault;

/// A file of the build's own.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Own {
    path: &'static str,
    text: String,
}

/// Lays all out in `folder`, and gives the hooks in their order.
///
/// # Errors
/// A file cannot be read or written.
pub(super) fn lay_out(
    recipe: &Recipe,
    beside: &Path,
    fstab: Option<String>,
    folder: &Path,
) -> Result<Vec<PathBuf>, Fault> {
    let lost = |error: io::Error| tools::not_written(&error);
    let files = folder.join("files");
    fs::create_dir(&files).map_err(lost)?;
    fs::set_permissions(&files, fs::Permissions::from_mode(0o755)).map_err(lost)?;
    for own in own(recipe, fstab) {
        put(&files, own.path, own.text.as_bytes(), 0o644, (0, 0)).map_err(lost)?;
    }
    for check in &recipe.agent.checks {
        let source = beside.join(check);
        let name = source.file_name().and_then(|name| name.to_str()).unwrap_or("check.toml");
        let bytes = fs::read(&source).map_err(|error| unreadable(&source, &error))?;
        put(&files, &format!("etc/firstlight/checks.d/{name}"), &bytes, 0o644, (0, 0)).map_err(lost)?;
    }
    // Last: a recipe may bring what else the build would.
    for file in &recipe.files {
        let bytes = match (&file.text, &file.source) {
            (Some(text), _) => text.clone().into_bytes(),
            (None, Some(source)) => {
                let source = beside.join(source);
                fs::read(&source).map_err(|error| unreadable(&source, &error))?
            }
            (None, None) => continue,
        };
        let (mode, owner) = (file.mode().unwrap_or(0o644), file.owner().unwrap_or((0, 0)));
        put(&files, file.path.trim_start_matches('/'), &bytes, mode, owner).map_err(lost)?;
    }
    if let Some(key) = &recipe.docker_key {
        let key = beside.join(key);
        fs::copy(&key, folder.join("docker.key")).map_err(|error| unreadable(&key, &error))?;
    }
    hooks(recipe, beside, folder).map_err(lost)
}

fn unreadable(path: &Path, error: &io::Error) -> Fault {
    Fault::new("bad-recipe", format!("{} cannot be read: {error}", path.display()))
}

fn own(recipe: &Recipe, fstab: Option<String>) -> Vec<Own> {
    let mut own = Vec::new();
    if let Some(text) = fstab {
        own.push(Own { path: "etc/fstab", text });
        // The root grows to the end of its disk, whoever made that larger.
        own.push(Own { path: "etc/repart.d/50-root.conf", text: "[Partition]\nType=root\n".to_owned() });
    }
    let mut add = |path, text: &str| own.push(Own { path, text: text.to_owned() });
    match recipe.network() {
        // Proxmox writes its own at each start.
        Network::Ifupdown => add(
            "etc/network/interfaces",
            "auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet dhcp\n",
        ),
        Network::Networkd => {
            add("etc/systemd/network/80-dhcp.network", "[Match]\nName=en* eth*\n\n[Network]\nDHCP=yes\n")
        }
        Network::No => {}
    }
    if !recipe.agent.config.is_empty() {
        add("etc/firstlight/guest.toml", &recipe.agent.config.to_string());
    }
    own
}

fn put(files: &Path, path: &str, bytes: &[u8], mode: u32, owner: (u32, u32)) -> io::Result<()> {
    let mut folder = files.to_owned();
    let (parents, name) = path.rsplit_once('/').unwrap_or(("", path));
    for part in parents.split('/').filter(|part| !part.is_empty()) {
        folder.push(part);
        if !folder.is_dir() {
            fs::create_dir(&folder)?;
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
        }
    }
    let file = folder.join(name);
    fs::write(&file, bytes)?;
    chown(&file, Some(owner.0), Some(owner.1))?;
    // After the owner: a change of it takes set-user-id bits away.
    fs::set_permissions(&file, fs::Permissions::from_mode(mode))
}

/// Writes the hooks; mmdebstrap runs them in this order.
fn hooks(recipe: &Recipe, beside: &Path, folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut hooks = Vec::new();
    let mut add = |name: String, text: &str| -> io::Result<()> {
        let hook = folder.join(name);
        fs::write(&hook, text)?;
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755))?;
        hooks.push(hook);
        Ok(())
    };
    if let Some(text) = bootstrap::docker_hook(recipe) {
        add("docker".to_owned(), &text)?;
    }
    add("put-files".to_owned(), bootstrap::FILES_HOOK)?;
    if recipe.network() == Network::Networkd {
        add("network".to_owned(), &bootstrap::command_hook("systemctl enable systemd-networkd.service"))?;
    }
    for (at, command) in recipe.commands.iter().enumerate() {
        add(format!("command-{at}"), &bootstrap::command_hook(command))?;
    }
    // Run where they are: they may look for what is beside them.
    for hook in &recipe.hooks {
        hooks.push(std::path::absolute(beside.join(hook))?);
    }
    Ok(hooks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_hooks_are_laid_out_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let work = folder.path().join("work");
        fs::create_dir(&work).unwrap();
        for name in ["check.toml", "hook", "key"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        let owner =
            fs::metadata(&work).map(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata)).unwrap();
        if owner != 0 {
            return; // files of root are what this is about
        }
        let text = "name = \"a\"\nsuite = \"trixie\"\nnetwork = \"networkd\"\ndocker = \"docker-ce\"\n\
            docker_key = \"key\"\ncommands = [\"true\", \"false\"]\nhooks = [\"hook\"]\n\
            [agent]\nchecks = [\"check.toml\"]\nconfig = { ssh_host_keys = { types = [\"ed25519\"] } }\n\
            [[file]]\npath = \"/etc/systemd/network/80-dhcp.network\"\ntext = \"mine\"\nmode = \"0600\"\nowner = \"1:2\"\n";
        let hooks =
            lay_out(&Recipe::parse(text).unwrap(), folder.path(), Some("x\n".to_owned()), &work).unwrap();
        let names: Vec<_> = hooks.iter().map(|hook| hook.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["docker", "put-files", "network", "command-0", "command-1", "hook"]);
        let read = |path: &str| fs::read_to_string(work.join("files").join(path)).unwrap();
        assert_eq!(read("etc/systemd/network/80-dhcp.network"), "mine");
        assert_eq!(read("etc/firstlight/checks.d/check.toml"), "check.toml");
        assert_eq!(read("etc/fstab"), "x\n");
        assert!(read("etc/firstlight/guest.toml").contains("[ssh_host_keys]\ntypes = [\"ed25519\"]"));
        let mode =
            |path: &str| fs::metadata(work.join("files").join(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(
            (mode("etc"), mode("etc/fstab"), mode("etc/systemd/network/80-dhcp.network")),
            (0o755, 0o644, 0o600)
        );
    }
}
