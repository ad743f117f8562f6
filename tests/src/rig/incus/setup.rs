//! What a server has from its start on: pools, networks, the usual profile, images, a listener.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::{IncusServer, PORT, SILENT_NETWORK, TIGHT_POOL};
use crate::rig::subnet::Subnet;
use crate::run;

/// What an image says of itself: the rest is in its root.
const METADATA: &str = "architecture: x86_64\ncreation_date: 1700000000\n\
    properties: {os: Debian, release: trixie, description: Firstlight's golden}\n";

pub(super) fn all(server: &IncusServer, images: &[(&str, &Path)]) -> Result<()> {
    plug_in(server)?;
    let tight = format!("source={}", server.folder.join("tight").display());
    let bridge = format!("ipv4.address={}/24", server.subnet.host(2));
    let range = format!("ipv4.dhcp.ranges={}-{}", server.subnet.host(10), server.subnet.host(250));
    let router = format!("ipv4.dhcp.gateway={}", server.gateway());
    let listen = format!("core.https_address={}:{PORT}", server.subnet.host(2));
    let apart = ["ipv4.nat=false", "ipv4.firewall=false", "ipv6.address=none", "ipv6.firewall=false"];
    let mut network = vec!["network", "create", "br0", &bridge, &range, &router];
    network.extend(apart);
    network.push("bridge.external_interfaces=uplink");
    let mut silent = vec!["network", "create", SILENT_NETWORK, "ipv4.address=none"];
    silent.extend(apart);
    for words in [
        &["storage", "create", "default", "dir"][..],
        &["storage", "create", TIGHT_POOL, "dir", &tight],
        &network,
        &silent,
        &["config", "set", &listen],
    ] {
        server.must(words)?;
    }
    profile(server, "default")?;
    images.iter().try_for_each(|(alias, root)| import(server, alias, root))
}

/// The usual devices, in a project's usual profile.
pub(super) fn profile(server: &IncusServer, project: &str) -> Result<()> {
    for device in [&["root", "disk", "pool=default", "path=/"], &["eth0", "nic", "network=br0", "name=eth0"]]
    {
        let words: Vec<&str> = ["--project", project, "profile", "device", "add", "default"]
            .into_iter()
            .chain(device.iter().copied())
            .collect();
        server.must(&words)?;
    }
    Ok(())
}

/// This machine's end of the cable.
pub(super) fn cable(subnet: &Subnet) -> String {
    format!("flincus{}", subnet.number)
}

/// A cable from this machine to the server's network, where it becomes a port of the bridge.
fn plug_in(server: &IncusServer) -> Result<()> {
    let (cable, init) = (cable(&server.subnet), server.holder.init().to_string());
    let address = format!("{}/24", server.gateway());
    let steps: [&[&str]; 3] = [
        &["link", "add", &cable, "type", "veth", "peer", "name", "uplink", "netns", &init],
        &["address", "add", &address, "dev", &cable],
        &["link", "set", &cable, "up"],
    ];
    for words in steps {
        run::must(run::command(["ip"]).args(words))?;
    }
    run::must(&mut server.within(&["ip", "link", "set", "uplink", "up"])).map(drop)
}

fn import(server: &IncusServer, alias: &str, root: &Path) -> Result<()> {
    let folder = tempfile::tempdir().context("a folder for the image cannot be made")?;
    std::fs::write(folder.path().join("metadata.yaml"), METADATA)?;
    let metadata = folder.path().join("metadata.tar");
    run::must(
        run::command(["tar", "--create", "--owner=0", "--group=0", "--file"])
            .arg(&metadata)
            .arg("-C")
            .arg(folder.path())
            .arg("metadata.yaml"),
    )?;
    let (metadata, root) = (metadata.to_string_lossy(), root.to_string_lossy());
    server.must(&["image", "import", &metadata, &root, "--alias", alias]).map(drop)
}
