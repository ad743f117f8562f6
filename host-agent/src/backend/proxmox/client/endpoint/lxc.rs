//! Containers: restore, and the network as the hypervisor sees it from inside.

use std::fmt;
use std::net::IpAddr;

use serde::Deserialize;
use serde_json::Value;

use super::guest::Guest;
use super::{Endpoint, Unreadable, parse, parse_upid};
use crate::backend::proxmox::client::call::{Call, Method, segment};
use crate::backend::proxmox::client::lenient;
use crate::backend::proxmox::client::properties::Properties;
use crate::backend::proxmox::client::upid::Upid;

/// Makes a container from an archive of vzdump, everything in one call.
///
/// What is not given comes from the archive. Given `rootfs`, the archive's mounts are dropped without a word. `unique`
/// is never sent: it would drop `net`. `force` neither: it would overwrite a guest.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RestoreLxc {
    pub node: String,
    pub vmid: u32,
    /// `local:backup/vzdump-lxc-9100-2026_11_21-11_14_04.tar.zst`
    pub archive: String,
    /// For volumes that are not given one of their own.
    pub storage: Option<String>,
    pub pool: Option<String>,
    pub hostname: Option<String>,
    /// With `hwaddr`: so a repeated request is the same request.
    pub net: Vec<(u32, Properties)>,
    /// `local:8`: 8 GiB on `local`.
    pub rootfs: Option<Properties>,
    pub mounts: Vec<(u32, Properties)>,
    pub cores: Option<u32>,
    pub memory_mib: Option<u64>,
    pub description: Option<String>,
    /// A token with rights on a pool alone may not set them.
    pub tags: Option<String>,
    /// From [`environment`]. The version has to have it.
    pub env: Option<String>,
    pub onboot: Option<bool>,
    pub protection: Option<bool>,
    pub unprivileged: Option<bool>,
}

impl fmt::Debug for RestoreLxc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.call().fmt(f)
    }
}

impl Endpoint for RestoreLxc {
    type Answer = Upid;

    fn call(&self) -> Call {
        let mut call = Call::new(Method::Post, format!("/nodes/{}/lxc", segment(&self.node)))
            .with("vmid", self.vmid)
            .with("ostemplate", &self.archive)
            .flag("restore", true)
            .maybe("storage", self.storage.as_deref())
            .maybe("pool", self.pool.as_deref())
            .maybe("hostname", self.hostname.as_deref())
            .maybe("rootfs", self.rootfs.as_ref())
            .maybe("cores", self.cores)
            .maybe("memory", self.memory_mib)
            .maybe("description", self.description.as_deref())
            .maybe("tags", self.tags.as_deref())
            .maybe("env", self.env.as_deref())
            .maybe("onboot", self.onboot.map(u8::from))
            .maybe("protection", self.protection.map(u8::from))
            .maybe("unprivileged", self.unprivileged.map(u8::from));
        for (number, properties) in &self.net {
            call = call.with(&format!("net{number}"), properties);
        }
        for (number, properties) in &self.mounts {
            call = call.with(&format!("mp{number}"), properties);
        }
        call
    }

    fn read(data: Value) -> Result<Upid, Unreadable> {
        parse_upid(&data)
    }
}

/// A variable cannot be handed to a container.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` cannot go into a container's environment: names of letters, digits and _, ASCII text without control characters"
)]
pub struct EnvironmentError(String);

/// The value of `env`: `NAME=TEXT`, separated by NUL. Other than ASCII comes back mangled, so it is refused.
///
/// # Errors
/// Names the variable, and nothing of its text.
pub fn environment(variables: &[(&str, &str)]) -> Result<String, EnvironmentError> {
    let fits = |name: &str, text: &str| {
        !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && text.chars().all(|c| c == '\t' || (' '..='~').contains(&c))
    };
    if let Some((name, _)) = variables.iter().find(|(name, text)| !fits(name, text)) {
        return Err(EnvironmentError(firstlight_shared::text::escape(name, 60)));
    }
    let lines: Vec<_> = variables.iter().map(|(name, text)| format!("{name}={text}")).collect();
    Ok(lines.join("\0"))
}

/// The addresses in the container, `lo` among them; link-local ones come seconds before others. Costs one of the node's
/// three workers 60 to 90 ms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadInterfaces {
    pub guest: Guest,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    pub name: String,
    pub mac: Option<String>,
    pub addresses: Vec<IpAddr>,
}

#[derive(Deserialize)]
pub(super) struct RawInterface {
    name: String,
    #[serde(rename = "hardware-address", alias = "hwaddr", default, deserialize_with = "lenient::text")]
    mac: Option<String>,
    #[serde(rename = "ip-addresses", default)]
    addresses: Option<Vec<RawAddress>>,
    #[serde(default, deserialize_with = "lenient::text")]
    inet: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    inet6: Option<String>,
}

#[derive(Deserialize)]
struct RawAddress {
    #[serde(rename = "ip-address", default, deserialize_with = "lenient::text")]
    address: Option<String>,
}

impl From<RawInterface> for Interface {
    /// The list, if there is one: `inet` and `inet6` beside it hold the last address only.
    fn from(raw: RawInterface) -> Self {
        let listed: Vec<String> = match raw.addresses {
            Some(addresses) => addresses.into_iter().filter_map(|raw| raw.address).collect(),
            None => raw.inet.into_iter().chain(raw.inet6).collect(),
        };
        let addresses =
            listed.iter().filter_map(|text| text.split(['/', '%']).next()?.parse().ok()).collect();
        Self { name: raw.name, mac: raw.mac, addresses }
    }
}

impl Endpoint for ReadInterfaces {
    /// None: it does not run, or shuts down.
    type Answer = Option<Vec<Interface>>;

    fn call(&self) -> Call {
        Call::new(Method::Get, self.guest.path("/interfaces"))
    }

    fn read(data: Value) -> Result<Option<Vec<Interface>>, Unreadable> {
        // `hwaddr` and `hardware-address` both come: serde takes an alias for a repetition.
        let raw: Option<Vec<RawInterface>> = parse(without_twins(data))?;
        Ok(raw.map(|list| list.into_iter().map(Interface::from).collect()))
    }
}

fn without_twins(mut data: Value) -> Value {
    for interface in data.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        if interface.contains_key("hardware-address") {
            interface.remove("hwaddr");
        }
    }
    data
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_environment_is_ascii_and_nothing_can_add_a_variable_to_it() {
        assert_eq!(environment(&[("A", "1 \"%$\t"), ("B_2", "")]).unwrap(), "A=1 \"%$\t\0B_2=");
        for (name, text) in [("A-B", "x"), ("", "x"), ("A", "x\ny"), ("A", "x\0B=y"), ("A", "ű"), ("A=", "x")]
        {
            let error = environment(&[("GOOD", "hunter2"), (name, text)]).unwrap_err();
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn addresses_are_taken_from_the_list_and_from_older_servers_fields() {
        let data = json!([
            {"name": "lo", "hwaddr": "00:00:00:00:00:00", "hardware-address": "00:00:00:00:00:00", "inet": "127.0.0.1/8",
             "ip-addresses": [{"prefix": "8", "ip-address": "127.0.0.1"}, {"prefix": 32, "ip-address": "127.83.1.2"}]},
            {"name": "eth0", "hwaddr": "bc:24:11:00:00:01", "inet": "10.0.0.7/24", "inet6": "fe80::1%eth0/64"},
            {"name": "eth1"},
        ]);
        let found = ReadInterfaces::read(data).unwrap().unwrap();
        let addresses: Vec<Vec<String>> =
            found.iter().map(|one| one.addresses.iter().map(ToString::to_string).collect()).collect();
        assert_eq!(addresses, [vec!["127.0.0.1", "127.83.1.2"], vec!["10.0.0.7", "fe80::1"], vec![]]);
        assert_eq!(found[1].mac.as_deref(), Some("bc:24:11:00:00:01"));
        assert_eq!(ReadInterfaces::read(Value::Null), Ok(None));
    }
}
