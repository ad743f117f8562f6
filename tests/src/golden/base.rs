//! The bases: Debian 13, and 12 as the older one, by mmdebstrap from the mirror that this machine's apt knows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use firstlight_shared::wire::sha256_hex;

use crate::run;

const SUITE: &str = "trixie";
const PACKAGES: &str = "systemd-sysv,openssh-server,dbus,iproute2,udev,ca-certificates";

/// What is in a base besides the plain system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flavour {
    Plain,
    CloudInit,
    /// A machine that runs guests itself.
    Host,
    /// With a kernel: a virtual machine.
    Machine,
    /// Debian 12: systemd 252, without ImportCredential=, generated ssh sockets and a keygen unit.
    Bookworm,
}

impl Flavour {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::CloudInit => "cloud-init",
            Self::Host => "host",
            Self::Machine => "machine",
            Self::Bookworm => "bookworm",
        }
    }

    fn suite(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            _ => SUITE,
        }
    }

    fn packages(self) -> String {
        match self {
            Self::Plain | Self::Bookworm => PACKAGES.to_owned(),
            // The name service modules are there for the hostile nsswitch.conf that this variant has.
            Self::CloudInit => format!(
                "{PACKAGES},cloud-init,libnss-systemd,libnss-myhostname,libnss-mymachines,libnss-resolve"
            ),
            Self::Machine => {
                format!("{PACKAGES},linux-image-cloud-amd64,initramfs-tools,zstd,qemu-guest-agent")
            }
            Self::Host => "systemd-sysv,dbus,iproute2,systemd-container,dnsmasq-base".to_owned(),
        }
    }
}

/// As recipes in the field clean an image: the keys that the packages made go, the machine-id is emptied (not
/// removed, and not "uninitialized", as mmdebstrap's own clean-up would write), the builder's name goes.
const CLEANING: &str = r#"rm -f "$1"/etc/ssh/ssh_host_* "$1"/etc/hostname "$1"/etc/resolv.conf
: > "$1"/etc/machine-id; chmod 0444 "$1"/etc/machine-id
mkdir -p "$1"/var/lib/dbus; ln -sfn /etc/machine-id "$1"/var/lib/dbus/machine-id"#;

/// Makes the base, if it is not there yet, and gives its path, whose name carries the recipe's digest.
pub(super) fn ensure(folder: &Path, flavour: Flavour) -> Result<PathBuf> {
    let recipe = format!("{} {} {CLEANING}", flavour.suite(), flavour.packages());
    let digest = sha256_hex(recipe.as_bytes());
    let path = folder.join(format!("base-{}-{}.tar", flavour.name(), &digest[..16]));
    if path.is_file() {
        return Ok(path);
    }
    if !nix::unistd::geteuid().is_root() {
        bail!("a golden is built as root: run this command with sudo");
    }
    eprintln!("building a Debian golden ({}) with mmdebstrap; this is done once", flavour.name());
    let partial = folder.join(format!("base-{}.partial.tar", flavour.name()));
    let _ = fs::remove_file(&partial); // of a run that was killed
    let mut mmdebstrap = Command::new("mmdebstrap");
    mmdebstrap
        .args(["--quiet", "--variant=apt", "--skip=cleanup/reproducible"])
        .arg(format!("--include={}", flavour.packages()))
        .arg(format!("--customize-hook={CLEANING}"))
        .arg(flavour.suite())
        .arg(&partial);
    if let Err(error) = run::must(&mut mmdebstrap) {
        let _ = fs::remove_file(&partial);
        return Err(error)
            .context("mmdebstrap could not build the golden; can this machine's apt reach its mirror?");
    }
    fs::rename(&partial, &path).with_context(|| format!("{} cannot be put in place", path.display()))?;
    Ok(path)
}

/// Removes bases of older recipes, so that the cache does not grow.
pub(super) fn forget_others(folder: &Path, kept: &[PathBuf]) -> Result<()> {
    let flavours: Vec<&str> = kept.iter().filter_map(|path| stem(path)).collect();
    for entry in fs::read_dir(folder).context("the golden cache cannot be read")?.flatten() {
        let path = entry.path();
        let older = stem(&path).is_some_and(|stem| flavours.contains(&stem)) && !kept.contains(&path);
        if older {
            fs::remove_file(&path).with_context(|| format!("{} cannot be removed", path.display()))?;
        }
    }
    Ok(())
}

/// `base-FLAVOUR` of `base-FLAVOUR-DIGEST.tar`.
fn stem(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    if name.starts_with("base-") && name.ends_with(".tar") {
        name.rsplit_once('-').map(|(stem, _)| stem)
    } else {
        None
    }
}
