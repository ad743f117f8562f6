//! From the start of a first boot until its host has the guest's host keys: our report, and cloud-init's `phone_home`.
//!
//! Both guests are the same Debian with the same programs on the disk, plugged into the same bridge; a listener of the host's takes
//! what they send, and holds it against the keys on the guest's disk. Ours is signed, bound to the claim, sent over pinned TLS and
//! only after the guest's checks; `phone_home` is a form in plain HTTP that anybody on the network could have sent.

mod host;
mod image;
mod listener;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use firstlight_shared::wire::{Claim, sha256_hex};

use super::super::{Pairs, Table};
use crate::guest::Boot;
use host::Host;
use image::{Image, Side};
use listener::{Listener, Said};

/// Of the guest, everywhere.
const NAME: &str = "bench";
/// A busy machine boots cloud-init slowly.
const LIMIT: Duration = Duration::from_secs(180);

/// Which keys are made, in both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keys {
    Ed25519,
    /// What both make unless they are told otherwise.
    Default,
}

impl Keys {
    fn figure(self) -> &'static str {
        match self {
            Self::Ed25519 => {
                "first boot until the host has the ed25519 key: signed, bound to the claim, pinned TLS, after all checks"
            }
            Self::Default => {
                "first boot until the host has all three keys: signed, bound to the claim, pinned TLS, after all checks"
            }
        }
    }

    fn count(self) -> usize {
        match self {
            Self::Ed25519 => 1,
            Self::Default => 3,
        }
    }

    /// For the agent.
    fn settings(self) -> &'static str {
        match self {
            Self::Ed25519 => "[ssh_host_keys]\ntypes = [\"ed25519\"]\n",
            Self::Default => "",
        }
    }

    /// For cloud-init.
    fn user_data(self, url: &str) -> String {
        let (keys, post) = match self {
            Self::Ed25519 => (
                "ssh_deletekeys: true\nssh_genkeytypes: [ed25519]\n",
                "[pub_key_ed25519, instance_id, hostname, fqdn]",
            ),
            Self::Default => ("", "all"),
        };
        format!("#cloud-config\n{keys}phone_home: {{url: \"{url}\", post: {post}, tries: 10}}\n")
    }
}

/// A row for each choice of keys.
///
/// # Errors
/// A guest sent nothing in time, or other keys than it has.
pub(super) fn measure(goldens: &Path, boots: usize, table: &mut Table) -> Result<()> {
    let host = Host::new()?;
    let (ours, theirs) = (Image::new(goldens, Side::Agent)?, Image::new(goldens, Side::CloudInit)?);
    for keys in [Keys::Ed25519, Keys::Default] {
        let mut pairs = Pairs::default();
        // The first pair warms the page cache and is not counted.
        for run in 0..=boots {
            let of_ours = report(&host, &ours, keys, run)?;
            let of_theirs = phone_home(&host, &theirs, keys, run)?;
            if run > 0 {
                pairs.ours.push(of_ours);
                pairs.floor.push(of_theirs);
            }
        }
        let peer = "cloud-init's `phone_home` of a NoCloud seed: plain HTTP, unsigned, bound to nothing";
        table.ratio(keys.figure(), &pairs.ours, (peer, &pairs.floor), 0.5);
    }
    Ok(())
}

/// Until a report of this guest is there, and its signature and binding are found to hold.
fn report(host: &Host, image: &Image, keys: Keys, run: usize) -> Result<Duration> {
    let (listener, pin) = Listener::tls(host.listen()?)?;
    let id = format!("{keys:?}-{run}").to_lowercase();
    let claim = format!(
        r#"{{"version":1,"id":"{id}","secret":"{}","intent":"provision","hostname":"{NAME}","url":"https://{}","pin":"{pin}"}}"#,
        sha256_hex(id.as_bytes()),
        listener.address()?
    );
    let claim = Claim::parse(claim.as_bytes())?;
    image.renew()?;
    image.put("etc/firstlight/guest.toml", keys.settings())?;
    let boot = Boot::named(NAME).credential("firstlight.claim", claim.to_one_line().as_bytes());
    first_boot(host, image, boot, keys, || listener.report(&claim, LIMIT))
}

/// Until a form with this guest's keys is there.
fn phone_home(host: &Host, image: &Image, keys: Keys, run: usize) -> Result<Duration> {
    let listener = Listener::plain(host.listen()?)?;
    let instance = format!("{keys:?}-{run}").to_lowercase();
    image.renew()?;
    let user_data = keys.user_data(&format!("http://{}/", listener.address()?));
    image.put("var/lib/cloud/seed/nocloud/user-data", &user_data)?;
    let meta_data = format!("instance-id: {instance}\nlocal-hostname: {NAME}\n");
    image.put("var/lib/cloud/seed/nocloud/meta-data", &meta_data)?;
    first_boot(host, image, Boot::named(NAME), keys, || {
        let (form, said) = listener.form(LIMIT)?;
        for (field, wanted) in [("instance_id", instance.as_str()), ("hostname", NAME)] {
            ensure!(form.value(field) == Some(wanted), "`{field}` is not {wanted} in {form:?}");
        }
        Ok(said)
    })
}

/// Boots the image as it is now, until `take` has what the guest says, which must be the keys on its disk.
fn first_boot(
    host: &Host,
    image: &Image,
    boot: Boot,
    keys: Keys,
    take: impl FnOnce() -> Result<Said>,
) -> Result<Duration> {
    let boot = boot.plugged(host.plug());
    ensure!(image.keys()?.is_empty(), "the image has host keys before its first boot");
    nix::unistd::sync(); // what was put back goes to the disk now, not under the first fsync that is timed
    let start = Instant::now();
    let booted = image.boot(&boot)?;
    let said = take().with_context(|| format!("its console says:\n{}", booted.console()))?;
    let made = image.keys()?;
    ensure!(
        said.keys == made && made.len() == keys.count(),
        "the guest said {:?}, and has {made:?} on its disk",
        said.keys
    );
    Ok(said.at.saturating_duration_since(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_asks_for_what_is_measured() {
        let text = Keys::Ed25519.user_data("http://10.77.9.1:1/");
        assert_eq!(
            text,
            "#cloud-config\nssh_deletekeys: true\nssh_genkeytypes: [ed25519]\nphone_home: {url: \"http://10.77.9.1:1/\", \
             post: [pub_key_ed25519, instance_id, hostname, fqdn], tries: 10}\n"
        );
        let text = Keys::Default.user_data("http://10.77.9.1:1/");
        assert!(!text.contains("ssh_") && text.contains("post: all"), "{text}");
    }
}
