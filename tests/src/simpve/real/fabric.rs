//! The guests' network: a namespace with a bridge and a DHCP server, and one cable to this machine.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use anyhow::{Result, bail};

use super::{Rig, kernel};
use crate::rig::subnet::Subnet;
use crate::{run, wait};

/// The guests' bridge, as the configurations name it.
pub(super) const BRIDGE: &str = "vmbr0";
/// Its end of the cable to this machine.
const UPLINK: &str = "uplink";

#[derive(Debug)]
pub(super) struct Fabric {
    pub(super) gateway: Ipv4Addr,
    dhcp: Option<Child>,
    subnet: Subnet,
}

impl Fabric {
    pub(super) fn make(rig: &Rig) -> Result<Self> {
        let subnet = Subnet::reserve(79, &rig.name)?;
        let number = subnet.number;
        let network = |last| subnet.host(last);
        let (namespace, tag) = (rig.name.as_str(), rig.name.rsplit('-').next().unwrap_or_default());
        kernel::add_namespace(namespace)?;
        kernel::ip(namespace, &format!("link add {BRIDGE} address 02:f1:59:00:{number:02x}:02 type bridge"))?;
        kernel::ip(namespace, &format!("address add {}/24 dev {BRIDGE}", network(2)))?;
        let cable = format!("flp{tag}");
        run::must(
            run::command(["ip", "link", "add"])
                .arg(&cable)
                .args(["type", "veth", "peer", "name", UPLINK, "netns", namespace]),
        )?;
        kernel::ip(namespace, &format!("link set {UPLINK} master {BRIDGE} up"))?;
        // Ports that are isolated do not hear each other: a guest that is cut off is such a one, too.
        kernel::ip(namespace, &format!("link set {UPLINK} type bridge_slave isolated on"))?;
        kernel::ip(namespace, &format!("link set {BRIDGE} up"))?;
        kernel::ip(namespace, "link set lo up")?;
        let address = format!("{}/24", network(1));
        run::must(run::command(["ip", "address", "add", &address, "dev"]).arg(&cable))?;
        run::must(run::command(["ip", "link", "set"]).arg(&cable).arg("up"))?;
        let mut fabric = Self { gateway: network(1), dhcp: None, subnet };
        fabric.serve_addresses(rig)?;
        Ok(fabric)
    }

    fn serve_addresses(&mut self, rig: &Rig) -> Result<()> {
        let folder = rig.folder.join("dhcp");
        let log = folder.join("dnsmasq.log");
        let line = dnsmasq(&rig.name, self.subnet.number, self.gateway, &folder.join("leases"));
        let child = self.dhcp.insert(kernel::spawn(&rig.cgroup.join("dhcp"), &line, &log)?);
        let pid = child.id();
        let listens = wait::until("dnsmasq", Duration::from_secs(10), || {
            let ended = child.try_wait().ok().flatten();
            (ended.is_some() || listens(pid)).then_some(ended)
        });
        match listens {
            Ok(None) => Ok(()),
            other => {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                bail!("dnsmasq does not serve ({other:?}): {}", run::tail(&said, 5))
            }
        }
    }

    /// After its processes were killed.
    pub(super) fn reap(&mut self) {
        if let Some(mut dhcp) = self.dhcp.take() {
            let _ = dhcp.wait();
        }
    }
}

fn dnsmasq(namespace: &str, number: u8, gateway: Ipv4Addr, leases: &Path) -> Vec<OsString> {
    let net = format!("--net=/run/netns/{namespace}");
    let interface = format!("--interface={BRIDGE}");
    let range = format!("--dhcp-range=10.79.{number}.10,10.79.{number}.250,255.255.255.0,1h");
    let router = format!("--dhcp-option=option:router,{gateway}");
    let leases = format!("--dhcp-leasefile={}", leases.display());
    kernel::words([
        "nsenter",
        &net,
        "dnsmasq",
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--log-facility=-",
        "--pid-file=",
        "--user=root",
        "--group=root",
        // No names: guests get the node's own resolvers.
        "--port=0",
        "--no-resolv",
        "--no-hosts",
        "--no-ping",
        "--bind-interfaces",
        "--except-interface=lo",
        "--dhcp-authoritative",
        &interface,
        &range,
        &router,
        &leases,
    ])
}

/// Whether it sees a UDP socket at the DHCP server's port (67 = 0x43): it is alone in its namespace.
fn listens(pid: u32) -> bool {
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/udp")).unwrap_or_default();
    table.lines().any(|line| line.split_whitespace().nth(1).is_some_and(|local| local.ends_with(":0043")))
}
