//! `firstlight inventory`: Ansible's dynamic inventory, in the form of its script plugin.
//!
//! Source: Ansible's developer guide, "Developing dynamic inventory". What Ansible reads from an inventory it takes for
//! templates of ours: no word may hold what a template begins with.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::InventoryArguments;
use crate::bringup::InventoryHost;
use crate::cli::failure::{Exit, Failure};
use crate::cli::{Session, print, render};
use crate::http::api::Inventory;
use crate::ssh_trust::known_hosts::{Form, SSH_PORT, lines};

/// All guests are in this group, and the names of all others begin with it.
const GROUP: &str = "firstlight";

pub(super) async fn run(session: &Session, arguments: &InventoryArguments) -> Result<Exit, Failure> {
    let found: Inventory = session.client.get("/v1/inventory").await?;
    if let Some(file) = &arguments.known_hosts {
        write(file, &found.hosts)?;
    }
    let known_hosts = arguments.known_hosts.as_deref().map(std::path::absolute).transpose();
    let known_hosts = known_hosts.map_err(|error| Failure::new(Exit::Environment, error.to_string()))?;
    let document = match &arguments.host {
        None => document(&found.hosts, known_hosts.as_deref()),
        Some(name) => match found.hosts.iter().find(|host| host.guest == *name) {
            Some(host) => Value::Object(variables(host, known_hosts.as_deref())),
            None => {
                let what = format!("there is no ready guest `{name}` with a verified report");
                return Err(Failure::new(Exit::NoAnswer, what).hint("`firstlight jobs` lists what there is"));
            }
        },
    };
    print(&render::json(&document))
}

fn write(file: &Path, hosts: &[InventoryHost]) -> Result<(), Failure> {
    let text: String = hosts.iter().flat_map(host_lines).collect();
    crate::cli::ssh::replace(file, text.as_bytes()).map_err(|error| {
        Failure::new(Exit::Environment, format!("{}: {error}", file.display()))
            .hint("name a file in a folder that you may write to")
    })
}

/// One line for each key, by the guest's name and addresses.
fn host_lines(host: &InventoryHost) -> Vec<String> {
    let addresses = host.addresses.iter().map(ToString::to_string);
    let names: Vec<String> = std::iter::once(host.guest.clone()).chain(addresses).collect();
    let form = Form { port: SSH_PORT, hashed: false };
    let keys = host.ssh_host_keys.iter().filter_map(|key| sound(&key.public_key));
    keys.map(|key| lines(&names, &key, form, || [0; 20])).collect()
}

/// A public key as we write it; none: it is no key.
fn sound(line: &str) -> Option<String> {
    let mut key = ssh_key::PublicKey::from_openssh(line).ok()?;
    key.set_comment("");
    key.to_openssh().ok().map(|text| text.trim().to_owned())
}

fn document(hosts: &[InventoryHost], known_hosts: Option<&Path>) -> Value {
    let mut groups: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut hostvars = Map::new();
    groups.insert(GROUP.to_owned(), Vec::new());
    for host in hosts {
        hostvars.insert(host.guest.clone(), Value::Object(variables(host, known_hosts)));
        let golden = host.golden.as_deref().map(|golden| golden.rsplit(['/', ':']).next().unwrap_or(golden));
        let kinds = [
            Some(GROUP.to_owned()),
            Some(group("backend", &host.backend)),
            Some(group("trust", host.trust.as_str())),
            Some(group("batch", &host.batch)).filter(|_| !host.batch.is_empty()),
            golden.map(|golden| group("golden", golden)),
        ];
        for kind in kinds.into_iter().flatten() {
            groups.entry(kind).or_default().push(&host.guest);
        }
    }
    let mut document: Map<String, Value> =
        groups.into_iter().map(|(name, hosts)| (name, json!({ "hosts": hosts }))).collect();
    document.insert("_meta".to_owned(), json!({ "hostvars": hostvars }));
    Value::Object(document)
}

/// Of letters, digits and `_`, as Ansible wants groups to be named.
fn group(kind: &str, name: &str) -> String {
    let word = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    format!("{GROUP}_{kind}_{}", name.chars().take(80).map(word).collect::<String>())
}

/// Without whatever could begin a template, end a line or change its direction.
fn inert(text: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || " ._/:@+=,-".contains(c) { c } else { '_' };
    text.chars().take(300).map(keep).collect()
}

fn variables(host: &InventoryHost, known_hosts: Option<&Path>) -> Map<String, Value> {
    let mut variables = Map::new();
    let mut set = |name: &str, value: Value| variables.insert(name.to_owned(), value);
    // IPv4 first: not every way leads to an IPv6 address.
    let address = host.addresses.iter().find(|address| address.is_ipv4()).or(host.addresses.first());
    if let Some(address) = address {
        set("ansible_host", json!(address.to_string()));
    }
    if let Some(file) = known_hosts {
        // As a shell reads it: so Ansible takes it apart.
        let quoted = file.display().to_string().replace('\'', "'\\''");
        let quoted = quoted.replace(['{', '}'], "?");
        set(
            "ansible_ssh_common_args",
            json!(format!("-o 'UserKnownHostsFile={quoted}' -o StrictHostKeyChecking=yes")),
        );
    }
    let lines: Vec<String> = host_lines(host).iter().map(|line| line.trim().to_owned()).collect();
    set("firstlight_host_keys", json!(lines));
    set("firstlight_addresses", json!(host.addresses));
    set("firstlight_backend", json!(inert(&host.backend)));
    set("firstlight_batch", json!(inert(&host.batch)));
    set("firstlight_golden", json!(host.golden.as_deref().map(inert)));
    set("firstlight_job", json!(inert(&host.job)));
    set("firstlight_machine_id", json!(host.machine_id.as_deref().map(inert)));
    set("firstlight_trust", json!(host.trust.as_str()));
    set("firstlight_ephemeral", json!(host.ephemeral));
    variables
}

#[cfg(test)]
mod tests {
    use firstlight_shared::wire::{HostKey, Trust};

    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJGMBhn3H2vfAl08gVL0uZn2bRF4DOyHIQ8IMd7CXxGL";

    fn host(guest: &str, golden: &str, key: &str) -> InventoryHost {
        let key =
            HostKey { kind: "ssh-ed25519".into(), fingerprint: "SHA256:x".into(), public_key: key.into() };
        InventoryHost {
            guest: guest.into(),
            job: "0123".into(),
            backend: "local".into(),
            batch: "b-1".into(),
            golden: Some(golden.into()),
            trust: Trust::Attested,
            addresses: vec!["fd00::5".parse().unwrap(), "10.0.0.5".parse().unwrap()],
            machine_id: Some("ab".into()),
            ssh_host_keys: vec![key],
            ephemeral: false,
        }
    }

    #[test]
    fn groups_are_by_backend_golden_batch_and_trust() {
        let found = document(&[host("web-01", "/srv/debian-13.tar", KEY)], None);
        for group in [
            "firstlight",
            "firstlight_backend_local",
            "firstlight_batch_b_1",
            "firstlight_golden_debian_13_tar",
            "firstlight_trust_attested",
        ] {
            assert_eq!(found[group]["hosts"], json!(["web-01"]), "{group} in {found}");
        }
        let variables = &found["_meta"]["hostvars"]["web-01"];
        assert_eq!(variables["ansible_host"], "10.0.0.5");
        assert_eq!(variables["firstlight_host_keys"], json!([format!("web-01,fd00::5,10.0.0.5 {KEY}")]));
        assert!(variables.get("ansible_ssh_common_args").is_none());
        assert_eq!(
            document(&[], None),
            json!({ "_meta": { "hostvars": {} }, "firstlight": { "hosts": [] } })
        );
    }

    #[test]
    fn a_known_hosts_file_is_the_only_one_that_counts() {
        let found = variables(&host("web-01", "g", KEY), Some(Path::new("/tmp/o'clock {{x}}/known")));
        assert_eq!(
            found["ansible_ssh_common_args"],
            "-o 'UserKnownHostsFile=/tmp/o'\\''clock ??x??/known' -o StrictHostKeyChecking=yes"
        );
    }

    #[test]
    fn hostile_words_are_inert() {
        let nasty = "{{ lookup('pipe', 'id') }}{% raw %}\n\u{202e}\u{1b}[2J#}";
        let mut hostile = host("web-01", nasty, &format!("{KEY}\n* {nasty}"));
        hostile.backend = nasty.into();
        hostile.batch = nasty.into();
        hostile.job = nasty.into();
        hostile.machine_id = Some(nasty.into());
        let text = document(&[hostile], None).to_string();
        let words = text.split('"').skip(1).step_by(2);
        for word in words {
            let ours = |c: char| c.is_ascii_alphanumeric() || " ._/:@+=,-".contains(c);
            assert!(word.chars().all(ours), "{word:?} in {text}");
        }
        assert!(text.contains("\"firstlight_host_keys\":[]"), "a line too many is no key: {text}");
    }
}
