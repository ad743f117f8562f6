//! The variants of the golden that demo and tests boot.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use firstlight_shared::wire::sha256_hex;

use super::base::Flavour;
use super::{LOGIN_KEY, Layer, archive, image};
use crate::{paths, run};

const UNITS: &str = "usr/lib/systemd/system";
const IDENTITY: &str = "firstlight-identity.service";
const REPORT: &str = "firstlight-report.service";

/// A golden that is not the plain one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Variant {
    /// Without our agent: the trouble from the field.
    Control,
    /// The agent, enabled: what the demo clones.
    Agent,
    /// The agent in an image that kept its host keys, its machine-id and its name.
    Baked,
    /// As `Baked`, of Debian 12.
    Bookworm,
    /// cloud-init, networkd and wait-online beside the agent.
    Cloud,
    /// The agent, and networkd, which asks for an address: for guests that get theirs from nobody else.
    Dhcp,
    /// The identity phase runs, the report unit does not start by itself.
    Silent,
    /// The identity unit fails.
    Broken,
    /// No agent, `ssh-keygen -A` in a shell unit: the floor of the figures.
    Floor,
    /// No agent, and host keys baked in: an image whose first boot has no keys to make.
    Stock,
    /// No golden but a machine with systemd as PID 1 and the tools that the companion needs.
    Host,
    /// The agent in an image with a kernel, for a virtual machine: a disk beside the archive.
    Machine,
}

/// The machine-id that [`Variant::Baked`] carries.
pub const BAKED_MACHINE_ID: &str = "0123456789abcdef0123456789abcdef";
/// The name that [`Variant::Baked`] carries.
pub const BAKED_HOSTNAME: &str = "golden-builder";

impl Variant {
    pub const ALL: &'static [Self] = &[
        Self::Control,
        Self::Agent,
        Self::Baked,
        Self::Bookworm,
        Self::Cloud,
        Self::Dhcp,
        Self::Silent,
        Self::Broken,
        Self::Floor,
        Self::Stock,
        Self::Host,
        Self::Machine,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Agent => "agent",
            Self::Baked => "baked",
            Self::Bookworm => "bookworm",
            Self::Cloud => "cloud",
            Self::Dhcp => "dhcp",
            Self::Silent => "silent",
            Self::Broken => "broken",
            Self::Floor => "floor",
            Self::Stock => "stock",
            Self::Host => "host",
            Self::Machine => "machine",
        }
    }

    pub(super) fn flavour(self) -> Flavour {
        match self {
            Self::Bookworm => Flavour::Bookworm,
            Self::Cloud => Flavour::CloudInit,
            Self::Host => Flavour::Host,
            Self::Machine => Flavour::Machine,
            _ => Flavour::Plain,
        }
    }

    fn layer(self, guest: &Path, folder: &Path) -> Result<Layer> {
        let mut layer = Layer::default();
        let login =
            fs::read(folder.join(LOGIN_KEY).with_extension("pub")).context("the login key is gone")?;
        layer.file("root/.ssh/authorized_keys", 0o600, login);
        if !matches!(self, Self::Control | Self::Floor | Self::Stock | Self::Host) {
            agent(&mut layer, guest, self == Self::Cloud)?;
        }
        match self {
            Self::Control | Self::Agent | Self::Host => {}
            Self::Baked | Self::Bookworm => baked(&mut layer, folder)?,
            Self::Cloud => cloud(&mut layer),
            Self::Dhcp => networkd(&mut layer, "Name=eth0"),
            Self::Silent => layer.remove(&wants("multi-user", REPORT)),
            Self::Broken => layer.file(
                format!("etc/systemd/system/{IDENTITY}.d/fail.conf"),
                0o644,
                "[Service]\nExecStart=\nExecStart=/bin/false\n",
            ),
            Self::Floor => floor(&mut layer),
            // RSA takes half a minute on an emulated processor.
            Self::Machine => {
                networkd(&mut layer, "Type=ether");
                layer.file("etc/firstlight/guest.toml", 0o644, "[ssh_host_keys]\ntypes = [\"ed25519\"]\n");
            }
            Self::Stock => keys(&mut layer, folder)?,
        }
        Ok(layer)
    }
}

/// Makes the variant's archive, unless it is there and of these very parts.
pub(super) fn ensure(variant: Variant, base: &Path, guest: &Path, folder: &Path) -> Result<()> {
    let layer = variant.layer(guest, folder)?;
    let digest = sha256_hex(format!("{} {}", base.display(), layer.digest()).as_bytes());
    let path = archive(folder, variant);
    let stamp = path.with_extension("digest");
    let whole = path.is_file() && (variant != Variant::Machine || image::is_there(folder));
    if whole && fs::read_to_string(&stamp).is_ok_and(|stamped| stamped == digest) {
        return Ok(());
    }
    let partial = folder.join(format!("{}.partial.tar", variant.name()));
    fs::copy(base, &partial).with_context(|| format!("{} cannot be copied", base.display()))?;
    layer.append_to(&partial)?;
    let _ = fs::remove_file(&stamp); // an archive without a stamp is made anew, a stamp never outlives its archive
    if variant == Variant::Machine {
        image::make(&partial, folder)?;
    }
    fs::rename(&partial, &path).with_context(|| format!("{} cannot be put in place", path.display()))?;
    fs::write(&stamp, digest).with_context(|| format!("{} cannot be written", stamp.display()))
}

/// As `systemctl enable --root` links it.
fn wants(target: &str, unit: &str) -> String {
    format!("etc/systemd/system/{target}.target.wants/{unit}")
}

fn enable(layer: &mut Layer, target: &str, unit: &str) {
    layer.link(wants(target, unit), &format!("/{UNITS}/{unit}"));
}

/// By the script that users bake with: what it installs is what is tested.
fn agent(layer: &mut Layer, guest: &Path, beside_cloud_init: bool) -> Result<()> {
    let root = tempfile::tempdir().context("a folder for the agent cannot be made")?;
    if beside_cloud_init {
        fs::create_dir_all(root.path().join("etc/cloud/cloud.cfg.d"))?;
    }
    let script = paths::root().join("packaging/install-guest");
    run::must(run::command(["sh"]).arg(script).arg(guest).arg(root.path()))?;
    layer.folder(root.path(), Path::new(""))
}

fn baked(layer: &mut Layer, folder: &Path) -> Result<()> {
    keys(layer, folder)?;
    layer.file("etc/machine-id", 0o444, format!("{BAKED_MACHINE_ID}\n"));
    layer.file("etc/hostname", 0o644, format!("{BAKED_HOSTNAME}\n"));
    Ok(())
}

/// Keys as the packages' own scripts make them; kept in the cache, so that the golden stays the same.
fn keys(layer: &mut Layer, folder: &Path) -> Result<()> {
    let keys = folder.join("baked/etc/ssh");
    if !keys.join("ssh_host_rsa_key").is_file() {
        fs::create_dir_all(&keys)?;
        run::must(run::command(["ssh-keygen", "-q", "-A", "-f"]).arg(folder.join("baked")))?;
    }
    for kind in ["rsa", "ecdsa", "ed25519"] {
        for (suffix, mode) in [("", 0o600), (".pub", 0o644)] {
            let name = format!("ssh_host_{kind}_key{suffix}");
            layer.file(PathBuf::from("etc/ssh").join(&name), mode, fs::read(keys.join(&name))?);
        }
    }
    Ok(())
}

/// A name service that kills a static program which asks it: one glibc loads the modules of another.
pub const HOSTILE_NSSWITCH: &str = "passwd: files systemd\ngroup: files systemd\nshadow: files systemd\n\
    hosts: mymachines resolve myhostname dns files\nnetworks: files dns\nservices: db files\nprotocols: db files\n";

fn cloud(layer: &mut Layer) {
    layer.file("etc/nsswitch.conf", 0o644, HOSTILE_NSSWITCH);
    layer.file(
        "etc/cloud/cloud.cfg.d/99-firstlight-test.cfg",
        0o644,
        "datasource_list: [ NoCloud, None ]\nnetwork: {config: disabled}\n",
    );
    networkd(layer, "Name=eth0");
    enable(layer, "network-online", "systemd-networkd-wait-online.service");
}

/// Asks for an address on the cards that match.
fn networkd(layer: &mut Layer, cards: &str) {
    let text = format!("[Match]\n{cards}\n[Network]\nDHCP=yes\n");
    layer.file("etc/systemd/network/10-eth0.network", 0o644, text);
    enable(layer, "multi-user", "systemd-networkd.service");
    layer.link(
        "etc/systemd/system/dbus-org.freedesktop.network1.service",
        &format!("/{UNITS}/systemd-networkd.service"),
    );
    layer.link(
        "etc/systemd/system/sockets.target.wants/systemd-networkd.socket",
        &format!("/{UNITS}/systemd-networkd.socket"),
    );
}

fn floor(layer: &mut Layer) {
    layer.file(
        "etc/systemd/system/floor-keys.service",
        0o644,
        "[Unit]\nDescription=Host keys by shell\nBefore=ssh.service\n\
         [Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/bin/ssh-keygen -A\n",
    );
    layer.link(
        "etc/systemd/system/ssh.service.requires/floor-keys.service",
        "/etc/systemd/system/floor-keys.service",
    );
}
