//! A node of Proxmox: its key is pinned in a fragment of the configuration.

use firstlight_shared::error::Chain;

use super::super::args::PlaceArguments;
use super::super::failure::{Exit, Failure};
use super::super::live::say;
use super::super::progress::Progress;
use super::super::{print, render};
use super::{LIMIT, TrustArguments, agreed, shown, wrong_address};
use crate::backend::link::fetch_certificate;
use crate::backend::proxmox::client::link::NODES;
use crate::config::pins::{Kept, PinFile, keep};

pub(super) async fn trust(place: &PlaceArguments, arguments: &TrustArguments) -> Result<Exit, Failure> {
    let Some(address) = &arguments.address else { return print(AUTHORITY) };
    let address = NODES.read(address).map_err(wrong_address)?;
    let progress = Progress::start(&format!("connecting to {address}"));
    let presented = fetch_certificate(&address, LIMIT).await;
    drop(progress);
    let presented = presented.map_err(|error| {
        Failure::new(Exit::Environment, Chain(&error).to_string())
            .hint("is the address right, does pveproxy run there, and may this machine reach it?")
    })?;
    print(&shown(&address.to_string(), &presented)?)?;
    let host = &address.host;
    let how = [
        format!(
            "compare the fingerprint on the node itself (at its console, or over ssh whose key is known): root@{host}"
        ),
        "  pvenode cert info".to_owned(),
        "  openssl x509 -in /etc/pve/local/pve-ssl.pem -noout -fingerprint -sha256".to_owned(),
        "(/etc/pve/local/pveproxy-ssl.pem, where there is one)".to_owned(),
    ];
    let again = format!("read it on the node, then: firstlight trust {address} --fingerprint AA:BB:..");
    agreed(&address.to_string(), &presented, arguments.fingerprint, &how, &again)?;
    let kept = keep(&place.sources(), &address.to_string(), presented.key)
        .map_err(|error| Failure::new(Exit::Environment, Chain(&error).to_string()).hint(error.hint()))?;
    tell(&kept);
    Ok(Exit::Ok)
}

const AUTHORITY: &str = "\
The cluster's authority signs the certificates of all its nodes. Copy it from a node, over a way that you trust:

  scp root@NODE:/etc/pve/pve-root-ca.pem /etc/firstlight/pve-root-ca.pem

and name it in the configuration, with addresses that are in the nodes' certificates (`pvenode cert info` shows them):

  [proxmox]
  ca = \"/etc/firstlight/pve-root-ca.pem\"

Certificates of others (ACME, a company's authority) are signed by theirs: name that one instead.
";

fn tell(kept: &PinFile) {
    let file = render::safe(&kept.path.display().to_string());
    match &kept.kept {
        Kept::Known => say(&format!("its key is pinned already, in {file}")),
        Kept::Added { replaced: 0 } => say(&format!("its key is pinned now, in {file}")),
        Kept::Added { .. } => {
            say(&format!("its key is pinned now, in {file}, in the place of the one it had"))
        }
    }
    if kept.kept != Kept::Known {
        say(
            "hint: it counts after a restart (`systemctl restart firstlight`); `firstlight doctor` tries it now",
        );
    }
}
