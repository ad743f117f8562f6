//! What a recipe may say, beyond its types. Each refusal names the field and what to do.

use std::path::Path;

use firstlight_shared::text::escape;

use super::{Docker, Recipe, RecipeFile};
use crate::outcome::Fault;

/// Of a name in a message.
const SHOWN: usize = 80;

pub(in super::super) fn bad(field: &str, what: impl std::fmt::Display) -> Fault {
    Fault::new("bad-recipe", format!("{field}: {what}"))
}

/// Bytes of `512M`, `8G`; None: it is no size.
pub(in super::super) fn size(text: &str) -> Option<u64> {
    let (number, shift) = match text.as_bytes().last()? {
        b'M' => (&text[..text.len() - 1], 20),
        b'G' => (&text[..text.len() - 1], 30),
        b'T' => (&text[..text.len() - 1], 40),
        _ => return None,
    };
    let number: u64 = number.parse().ok().filter(|number| *number > 0)?;
    number.checked_mul(1 << shift)
}

/// Names of packages, suites, components: nothing that a shell or a path would take for something else.
fn is_plain(text: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | '~' | '_');
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(known)
}

/// A label of a host name.
fn is_name(text: &str) -> bool {
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&text.len())
        && text.chars().all(known)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

impl Recipe {
    pub(super) fn check(&self) -> Result<(), Fault> {
        if !is_name(&self.name) {
            let what = format!("`{}` is no name for files and hosts", escape(&self.name, SHOWN));
            return Err(bad("name", what).with_hint("use small letters, digits and dashes: debian-13"));
        }
        if !is_plain(&self.suite) {
            let what = format!("`{}` is no suite", escape(&self.suite, SHOWN));
            return Err(bad("suite", what).with_hint("name it as apt does: trixie, noble"));
        }
        for (field, words) in [("packages", &self.packages), ("components", &self.components)] {
            for (at, word) in words.iter().enumerate() {
                if !is_plain(word) {
                    let what = format!("`{}` is no name as apt knows them", escape(word, SHOWN));
                    let fix = "one name per text, without versions and options";
                    return Err(bad(&format!("{field}[{at}]"), what).with_hint(fix));
                }
            }
        }
        self.check_sources()?;
        for (field, text) in [("proxmox.disk", &self.proxmox.disk), ("machine.disk", &self.machine.disk)] {
            if size(text).is_none_or(|bytes| bytes < 512 << 20) {
                let what = format!("`{}` is no size of a disk", escape(text, SHOWN));
                return Err(bad(field, what).with_hint("a number with M, G or T, 512M at least: \"4G\""));
            }
        }
        let proxmox = &self.proxmox;
        if !(100..1_000_000_000).contains(&proxmox.id) {
            return Err(bad("proxmox.id", "Proxmox numbers guests from 100 on").with_hint("id = 9000"));
        }
        if proxmox.memory < 16 {
            return Err(bad("proxmox.memory", "a container has 16 MiB at least")
                .with_hint("in MiB, a number: memory = 512"));
        }
        if !proxmox.bridge.is_empty() && (!is_plain(&proxmox.bridge) || proxmox.bridge.len() > 15) {
            return Err(bad("proxmox.bridge", "it is no name of a bridge").with_hint("bridge = \"vmbr0\""));
        }
        for (name, value) in proxmox.features.iter().flatten() {
            let shown = value.as_str().is_some_and(is_plain) || value.is_integer() || value.is_bool();
            if !is_plain(name) || !shown {
                return Err(bad(&format!("proxmox.features.{}", escape(name, SHOWN)), "it is no feature")
                    .with_hint("features = { nesting = 1, keyctl = 1 }"));
            }
        }
        if self.machine.command_line.contains(['\n', '"', '\'', '\\', '$', '`', '{', '}', ';']) {
            return Err(bad("machine.command_line", "it holds what the boot loader would take for its own")
                .with_hint("words for the kernel, with spaces between them"));
        }
        if let Some(kernel) = self.machine.kernel.as_ref().filter(|kernel| !is_plain(kernel)) {
            let what = format!("`{}` is no package", escape(kernel, SHOWN));
            return Err(bad("machine.kernel", what).with_hint("kernel = \"linux-image-amd64\""));
        }
        self.files.iter().enumerate().try_for_each(|(at, file)| check_file(&format!("file[{at}]"), file))
    }

    fn check_sources(&self) -> Result<(), Fault> {
        for (at, line) in self.mirror.iter().enumerate() {
            let known = ["deb ", "http://", "https://", "file:", "copy:"];
            if !known.iter().any(|start| line.starts_with(start)) || line.contains('\n') {
                let what = format!("`{}` is neither an address nor a line of apt's", escape(line, SHOWN));
                let fix = "mirror = \"http://deb.debian.org/debian\", or lines as in sources.list";
                return Err(bad(&format!("mirror[{at}]"), what).with_hint(fix));
            }
        }
        if self.docker == Docker::Upstream && self.docker_key.is_none() {
            return Err(bad("docker_key", "docker-ce comes from Docker's own repository, whose key is needed")
                .with_hint("fetch the repository's key, look at its fingerprint, and name the file: docker_key = \"docker.asc\""));
        }
        Ok(())
    }

    /// The files that the recipe names, beside it, before anything is downloaded.
    pub(super) fn check_files(&self, beside: &Path) -> Result<(), Fault> {
        let mut named: Vec<(String, &str)> = Vec::new();
        named.extend(self.docker_key.as_deref().map(|key| ("docker_key".to_owned(), key)));
        let listed = |field: &str, at: usize| format!("{field}[{at}]");
        named.extend(self.hooks.iter().enumerate().map(|(at, hook)| (listed("hooks", at), hook.as_str())));
        let checks = self.agent.checks.iter().enumerate();
        named.extend(checks.map(|(at, check)| (listed("agent.checks", at), check.as_str())));
        let files = self.files.iter().enumerate();
        named.extend(
            files.filter_map(|(at, file)| Some((format!("file[{at}].source"), file.source.as_deref()?))),
        );
        for (field, path) in named {
            let file = beside.join(path);
            if !file.is_file() {
                return Err(bad(&field, format!("{} is not there, or no file", file.display()))
                    .with_hint("paths are relative to the recipe"));
            }
            use std::os::unix::fs::PermissionsExt as _;
            let mode = file.metadata().map_or(0, |metadata| metadata.permissions().mode());
            if field.starts_with("hooks") && mode & 0o111 == 0 {
                return Err(bad(&field, format!("{} cannot be run", file.display()))
                    .with_hint(format!("chmod +x {}", file.display())));
            }
        }
        Ok(())
    }
}

fn check_file(field: &str, file: &RecipeFile) -> Result<(), Fault> {
    let at = |key: &str| format!("{field}.{key}");
    let inside = file.path.starts_with('/')
        && !file.path.ends_with('/')
        && file.path.len() < 4096
        && file.path.split('/').skip(1).all(|part| !matches!(part, "" | "." | ".."))
        && !file.path.contains('\0');
    if !inside {
        let what = format!("`{}` is no file of the root", escape(&file.path, SHOWN));
        return Err(bad(&at("path"), what).with_hint("an absolute path without `..`: path = \"/etc/motd\""));
    }
    if file.text.is_some() == file.source.is_some() {
        return Err(bad(field, "it has to have either `text` or `source`")
            .with_hint("text = \"its content\", or source = \"a file beside the recipe\""));
    }
    if file.mode().is_none() {
        return Err(bad(&at("mode"), "it is no mode").with_hint("octal, in quotes: mode = \"0644\""));
    }
    if file.owner().is_none() {
        return Err(bad(&at("owner"), "it is no owner").with_hint("two numbers: owner = \"0:0\""));
    }
    Ok(())
}

impl RecipeFile {
    pub(in super::super) fn mode(&self) -> Option<u32> {
        let Some(text) = &self.mode else { return Some(0o644) };
        u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777 && text.len() >= 3)
    }

    pub(in super::super) fn owner(&self) -> Option<(u32, u32)> {
        let Some(text) = &self.owner else { return Some((0, 0)) };
        let (user, group) = text.split_once(':')?;
        Some((user.parse().ok()?, group.parse().ok()?))
    }
}
