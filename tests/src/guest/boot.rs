//! How a bare guest is booted: what a hypervisor would set, and what a container manager would take away.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Where the guest's cable ends, if not in the guest itself.
#[derive(Debug, Clone)]
pub struct Plug {
    /// A namespace with a bridge.
    pub namespace: String,
    pub bridge: String,
    /// The guest's, in a network of 24 bits.
    pub address: String,
    /// Its default route.
    pub gateway: String,
}

/// A plain container with CAP_NET_ADMIN, until more is said.
#[derive(Debug, Clone)]
pub struct Boot {
    pub(super) name: String,
    pub(super) mac: String,
    pub(super) ipv6: bool,
    pub(super) cable: bool,
    pub(super) plug: Option<Plug>,
    pub(super) own_network: bool,
    host_rights: bool,
    credentials: Vec<(String, Vec<u8>)>,
    arguments: Vec<String>,
}

impl Boot {
    /// Under this host name.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            mac: "02:00:5e:00:00:01".to_owned(),
            ipv6: true,
            cable: true,
            plug: None,
            own_network: false,
            host_rights: false,
            credentials: Vec::new(),
            arguments: Vec::new(),
        }
    }

    /// A credential that the hypervisor passes, such as `firstlight.claim`.
    #[must_use]
    pub fn credential(mut self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        self.credentials.push((name.to_owned(), content.into()));
        self
    }

    /// The MAC address of `eth0`. Every boot has the same one until this is said: each is alone in its network.
    #[must_use]
    pub fn mac(mut self, mac: &str) -> Self {
        self.mac = mac.to_owned();
        self
    }

    /// A variable of PID 1, as Proxmox's `env` sets it.
    #[must_use]
    pub fn variable(self, name: &str, value: &str) -> Self {
        self.argument(&format!("--setenv={name}={value}"))
    }

    /// A folder or file of this machine at a path of the guest.
    #[must_use]
    pub fn bind(self, source: &Path, target: &str) -> Self {
        self.argument(&format!("--bind={}:{target}", source.display()))
    }

    /// As [`Boot::bind`], read-only.
    #[must_use]
    pub fn bind_read_only(self, source: &Path, target: &str) -> Self {
        self.argument(&format!("--bind-ro={}:{target}", source.display()))
    }

    /// In a user namespace: root in there is nobody out here, and owns the root's files by a shift of their owners. Its
    /// network is one of its own with nothing but `lo`: a namespace made outside cannot be joined.
    #[must_use]
    pub fn private_users(mut self) -> Self {
        self.own_network = true;
        // Fixed, so that a root can be booted twice; above what accounts of this machine have.
        self.argument("--private-users=1879048192:65536").argument("--private-users-ownership=chown")
    }

    /// No IPv6 on any interface.
    #[must_use]
    pub fn without_ipv6(mut self) -> Self {
        self.ipv6 = false;
        self
    }

    /// No carrier and no address on `eth0`.
    #[must_use]
    pub fn without_network(mut self) -> Self {
        self.cable = false;
        self
    }

    /// On a bridge, among others.
    #[must_use]
    pub fn plugged(mut self, plug: Plug) -> Self {
        self.plug = Some(plug);
        self
    }

    /// Every right, so that the guest can run guests of its own.
    #[must_use]
    pub fn as_host(mut self) -> Self {
        self.host_rights = true;
        self
    }

    /// Any argument of systemd-nspawn.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Variables for systemd-nspawn itself.
    pub(super) fn environment(&self) -> &'static [&'static str] {
        if self.host_rights { &["SYSTEMD_SECCOMP=0", "SYSTEMD_NSPAWN_API_VFS_WRITABLE=1"] } else { &[] }
    }

    /// Arguments for systemd-nspawn; the credentials are written below `folder` for it.
    pub(super) fn arguments(&self, folder: &Path) -> Result<Vec<String>> {
        let capability = if self.host_rights { "all" } else { "CAP_NET_ADMIN" };
        let mut arguments = vec![
            "-M".to_owned(),
            self.name.clone(),
            format!("--hostname={}", self.name),
            format!("--capability={capability}"),
        ];
        for (name, content) in &self.credentials {
            let path: PathBuf = folder.join(format!("credential-{name}"));
            fs::write(&path, content).with_context(|| format!("{} cannot be written", path.display()))?;
            arguments.push(format!("--load-credential={name}:{}", path.display()));
        }
        arguments.extend(self.arguments.iter().cloned());
        Ok(arguments)
    }
}
