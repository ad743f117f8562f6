//! What the kernel says and takes outside of the root's files: host name, interfaces, random pool.

use std::io::Write;
use std::time::Duration;

use firstlight_shared::wire::Interface;
use nix::sys::statfs::{OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC, statfs};

use super::{Ended, Machine, SysError, network, run_program};
use crate::paths;

/// For systemctl to be heard.
const REBOOT_LIMIT: Duration = Duration::from_secs(10);
const RANDOM_POOL: &str = "/dev/urandom";
/// Source: linux/magic.h.
const RAMFS_MAGIC: nix::libc::c_long = 0x8584_58f6;

impl Machine {
    /// The kernel's host name; none for a foreign root.
    pub(crate) fn kernel_hostname(&self) -> Option<String> {
        #[cfg(test)]
        if let Some(made_up) = &self.made_up {
            return made_up.hostname.borrow().clone();
        }
        let name = self.live.then(nix::unistd::gethostname)?.ok()?;
        name.into_string().ok().filter(|name| !name.is_empty())
    }

    /// # Errors
    /// The kernel refuses (no CAP_SYS_ADMIN over the UTS namespace).
    pub(crate) fn set_kernel_hostname(&self, name: &str) -> Result<(), SysError> {
        if !self.live {
            return Ok(());
        }
        self.root.fuse.pass().map_err(|error| SysError::new("set the host name", name, error))?;
        #[cfg(test)]
        if let Some(made_up) = &self.made_up {
            made_up.hostname.replace(Some(name.to_owned()));
            return Ok(());
        }
        nix::unistd::sethostname(name).map_err(|errno| SysError::new("set the host name", name, errno))
    }

    /// The machine's network interfaces without `lo`; empty for a foreign root.
    pub(crate) fn interfaces(&self) -> Vec<Interface> {
        #[cfg(test)]
        if let Some(made_up) = &self.made_up {
            return made_up.interfaces.clone();
        }
        if self.live { network::interfaces() } else { Vec::new() }
    }

    /// Mixes bytes into the kernel's random pool; nothing for a foreign root.
    ///
    /// A write is mixed in and takes no privilege; the generator takes its next seed from the pool, which in the first
    /// two minutes of a boot is after a second or half of the uptime (`crng_reseed_interval` in the kernel's
    /// drivers/char/random.c). `RNDRESEEDCRNG` would do it at once, but no safe call for it exists.
    ///
    /// # Errors
    /// The device cannot be written.
    pub(crate) fn stir_random_pool(&self, bytes: &[u8]) -> Result<(), SysError> {
        if !self.live {
            return Ok(());
        }
        let failed = |error| SysError::new("mix into", RANDOM_POOL, error);
        self.root.fuse.pass().map_err(failed)?;
        #[cfg(test)]
        if let Some(made_up) = &self.made_up {
            made_up.stirred.set(made_up.stirred.get() + 1);
            return Ok(());
        }
        std::fs::OpenOptions::new()
            .write(true)
            .open(RANDOM_POOL)
            .and_then(|mut pool| pool.write_all(bytes))
            .map_err(failed)
    }

    /// Starts an orderly reboot by PID 1 itself. Not `systemctl reboot`: that asks logind first, over a system bus whose
    /// socket may listen already while its daemon waits for this very unit to end.
    ///
    /// # Errors
    /// There is no systemctl, or PID 1 says no.
    pub(crate) fn reboot(&self) -> Result<(), SysError> {
        let failed = |error| SysError::new("run", "systemctl start reboot.target", error);
        self.root.fuse.pass().map_err(failed)?;
        let words =
            ["start", "--no-block", "--job-mode=replace-irreversibly", "reboot.target"].map(str::to_owned);
        let ran = run_program("systemctl", &words, REBOOT_LIMIT, 1024)?;
        match ran.ended {
            Ended::Exited(0) => Ok(()),
            _ => Err(failed(std::io::Error::other(ran.tail.trim().to_owned()))),
        }
    }

    /// Whether the state folder is on a file system that surely outlives a reboot. An overlay may have its upper layer
    /// in memory.
    pub(crate) fn state_outlives_a_reboot(&self) -> bool {
        #[cfg(test)]
        if let Some(made_up) = &self.made_up {
            return !made_up.forgets;
        }
        let kind = statfs(format!("/{}", paths::STATE_DIR).as_str()).map(|found| found.filesystem_type());
        self.live
            && kind.is_ok_and(|kind| {
                kind != TMPFS_MAGIC && kind != OVERLAYFS_SUPER_MAGIC && kind.0 != RAMFS_MAGIC
            })
    }

    /// In a chroot the kernel's host name and network are another machine's.
    pub(crate) fn is_chroot(&self) -> bool {
        self.live && !is_own_root()
    }

    /// Whether systemd booted from this root: no image, and no chroot in which one is made or a package installed.
    ///
    /// Source: sd_booted(3); the second question as systemd's own running_in_chroot().
    pub(crate) fn is_booted(&self) -> bool {
        #[cfg(test)]
        if self.made_up.is_some() {
            return true;
        }
        self.is_own_root() && self.root.kind("run/systemd/system").is_some()
    }

    /// Whether this is `/`, and no chroot.
    pub(crate) fn is_own_root(&self) -> bool {
        self.live && is_own_root()
    }
}

/// Whether `/` is PID 1's, too. Source: running_in_chroot() of systemd.
fn is_own_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    match (std::fs::metadata("/proc/1/root/."), std::fs::metadata("/")) {
        (Ok(first), Ok(own)) => (first.dev(), first.ino()) == (own.dev(), own.ino()),
        // Hidden from this process: a chroot is mostly a plain folder, a booted root is a mount.
        _ => super::root::is_mount_root(rustix::fs::CWD, "/"),
    }
}
