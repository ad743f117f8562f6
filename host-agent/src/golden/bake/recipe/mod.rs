//! A recipe: what a golden is made of, as a small file of TOML. Reading it touches nothing but files beside it.

mod check;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

pub(super) use check::{bad, size};

use crate::outcome::Fault;

/// The keys of a recipe; docs/golden-images.md lists them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recipe {
    /// Names the outputs, and is the host name of a container's backup.
    pub(super) name: String,
    #[serde(default)]
    pub(super) distribution: Distribution,
    pub(super) suite: String,
    /// As Debian calls it.
    #[serde(default)]
    pub(super) architecture: Architecture,
    /// Addresses or whole lines of apt's; empty: the distribution's own, with its updates.
    #[serde(default, deserialize_with = "one_or_more")]
    pub(super) mirror: Vec<String>,
    #[serde(default = "main")]
    pub(super) components: Vec<String>,
    #[serde(default)]
    pub(super) packages: Vec<String>,
    /// If not given, what the distribution's containers have on Proxmox.
    network: Option<Network>,
    #[serde(default)]
    pub(super) docker: Docker,
    /// Of docker-ce's repository, a file.
    pub(super) docker_key: Option<String>,
    /// In the root, by its own `sh -eu`, one after the other.
    #[serde(default)]
    pub(super) commands: Vec<String>,
    /// Programs of the builder, with the root as argument.
    #[serde(default)]
    pub(super) hooks: Vec<String>,
    /// No file is younger, in seconds since 1970.
    pub(super) epoch: Option<u64>,
    /// What is built if the command does not say.
    #[serde(default)]
    pub(super) formats: Vec<Format>,
    #[serde(default, rename = "file")]
    pub(super) files: Vec<RecipeFile>,
    #[serde(default)]
    pub(super) agent: Agent,
    #[serde(default)]
    pub(super) proxmox: Proxmox,
    #[serde(default)]
    pub(super) machine: Machine,
}

fn main() -> Vec<String> {
    vec!["main".to_owned()]
}

fn one_or_more<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "an address, or a list of addresses and lines of apt's")]
    enum Either {
        One(String),
        More(Vec<String>),
    }
    Ok(match Either::deserialize(from)? {
        Either::One(one) => vec![one],
        Either::More(more) => more,
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Distribution {
    #[default]
    Debian,
    Ubuntu,
}

impl Distribution {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Debian => "debian",
            Self::Ubuntu => "ubuntu",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Architecture {
    #[default]
    Amd64,
    Arm64,
}

impl Architecture {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// As the kernel, and Incus, call it.
    pub(super) const fn machine(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }

    /// `e_machine` of its programs.
    pub(super) const fn elf(self) -> u8 {
        match self {
            Self::Amd64 => 62,
            Self::Arm64 => 183,
        }
    }
}

/// Who configures the network in a clone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Network {
    /// What Proxmox writes for a container of Debian; elsewhere DHCP on eth0.
    Ifupdown,
    Networkd,
    /// The recipe's packages, files and commands.
    No,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub(super) enum Docker {
    #[default]
    #[serde(rename = "no")]
    No,
    #[serde(rename = "docker.io")]
    Debian,
    #[serde(rename = "docker-ce")]
    Upstream,
}

/// What a build writes.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, serde::Serialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// A container's backup for Proxmox VE.
    Pve,
    /// An image of Incus: metadata and root in one tar.
    Incus,
    /// The root as a folder.
    Dir,
    /// The root as tar.zst.
    Tar,
    /// A disk of a machine.
    Raw,
    /// The same as qcow2, compressed.
    Qcow2,
}

impl Format {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pve => "pve",
            Self::Incus => "incus",
            Self::Dir => "dir",
            Self::Tar => "tar",
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }

    pub(super) const fn is_machine(self) -> bool {
        matches!(self, Self::Raw | Self::Qcow2)
    }

    pub(super) const fn is_container(self) -> bool {
        matches!(self, Self::Pve | Self::Incus)
    }
}

/// A file that the recipe brings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecipeFile {
    /// In the root, absolute.
    pub(super) path: String,
    /// Its content, or the file that has it.
    pub(super) text: Option<String>,
    pub(super) source: Option<String>,
    /// Octal, in quotes.
    pub(super) mode: Option<String>,
    /// Numbers, `user:group`.
    pub(super) owner: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Agent {
    /// Becomes /etc/firstlight/guest.toml.
    #[serde(default)]
    pub(super) config: toml::Table,
    /// Files for /etc/firstlight/checks.d.
    #[serde(default)]
    pub(super) checks: Vec<String>,
    /// Items that `firstlight-guest seal` leaves as they are.
    #[serde(default)]
    pub(super) keep: Vec<String>,
}

/// What a container's backup says of its container.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Proxmox {
    /// In the archive's name. Tokens may need VM.Backup on it.
    pub(super) id: u32,
    pub(super) cores: Option<u32>,
    /// In MiB.
    pub(super) memory: u32,
    pub(super) swap: u32,
    /// With its unit: `8G`.
    pub(super) disk: String,
    pub(super) bridge: String,
    pub(super) unprivileged: bool,
    /// Words like `nesting=1`; if not given, what systemd and Docker need.
    pub(super) features: Option<BTreeMap<String, toml::Value>>,
}

impl Default for Proxmox {
    fn default() -> Self {
        Self {
            id: 9000,
            cores: None,
            memory: 512,
            swap: 0,
            disk: "4G".to_owned(),
            bridge: "vmbr0".to_owned(),
            unprivileged: true,
            features: None,
        }
    }
}

/// What a machine's disk has besides the root.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Machine {
    /// Of the whole disk.
    pub(super) disk: String,
    /// The kernel's package; if not given, the distribution's for clouds.
    pub(super) kernel: Option<String>,
    /// More words for the kernel.
    pub(super) command_line: String,
}

impl Default for Machine {
    fn default() -> Self {
        Self { disk: "4G".to_owned(), kernel: None, command_line: "console=tty0 console=ttyS0".to_owned() }
    }
}

impl Recipe {
    /// Reads and judges one.
    ///
    /// # Errors
    /// `bad-recipe`, with the field and what to do.
    pub(crate) fn load(path: &Path) -> Result<Self, Fault> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Fault::new("bad-recipe", format!("recipe {}: {error}", path.display()))
                .with_hint("name a recipe, a file of TOML: docs/golden-images.md has one")
        })?;
        let recipe = Self::parse(&text).map_err(|fault| {
            let message = format!("recipe {}: {}", path.display(), fault.message);
            Fault { message, ..fault }
        })?;
        recipe.check_files(path.parent().unwrap_or(Path::new("")))?;
        Ok(recipe)
    }

    /// # Errors
    /// As [`Recipe::load`].
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        let recipe: Self = toml::from_str(text).map_err(|error| {
            Fault::new("bad-recipe", error.to_string().trim_end())
                .with_hint("mend the line shown; docs/golden-images.md lists the keys of a recipe")
        })?;
        recipe.check()?;
        Ok(recipe)
    }

    pub(super) fn network(&self) -> Network {
        self.network.unwrap_or(match self.distribution {
            Distribution::Debian => Network::Ifupdown,
            Distribution::Ubuntu => Network::Networkd,
        })
    }

    /// What a build of these formats writes: those that the command names, or else the recipe's.
    ///
    /// # Errors
    /// None is named; or a disk and a container's archive together, whose roots differ by a kernel.
    pub(crate) fn formats(&self, named: &[Format]) -> Result<Vec<Format>, Fault> {
        let mut formats = if named.is_empty() { self.formats.clone() } else { named.to_vec() };
        formats.sort_unstable();
        formats.dedup();
        if formats.is_empty() {
            return Err(bad("formats", "nothing is to be built")
                .with_hint("say what: formats = [\"pve\"] in the recipe, or --format pve"));
        }
        if formats.iter().any(|format| format.is_machine())
            && formats.iter().any(|format| format.is_container())
        {
            return Err(bad(
                "formats",
                "a machine's disk has a kernel in it, a container's archive has none",
            )
            .with_hint("build one after the other: --format pve,incus and then --format qcow2"));
        }
        if self.network() == Network::Networkd
            && self.distribution == Distribution::Debian
            && formats.contains(&Format::Pve)
        {
            return Err(bad("network", "Proxmox configures the containers of Debian by ifupdown alone")
                .with_hint("network = \"ifupdown\""));
        }
        Ok(formats)
    }
}

#[cfg(test)]
mod tests;
