//! From the start of a first boot until its host has the guest's host keys: our report, and cloud-init's `phone_home`; and, as the
//! floor of both, the units of shell that do no more than that.
//!
//! All guests are the same Debian with the same programs on the disk, plugged into the same bridge; a listener of the host's takes
//! what they send, and holds it against the keys on the guest's disk. Ours is signed, bound to the claim, sent over pinned TLS and
//! only after the guest's checks; `phone_home` is a form in plain HTTP that anybody on the network could have sent.

mod host;
mod image;
mod listener;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use firstlight_shared::wire::{Claim, sha256_hex};

use super::super::{Row, Table, median, milliseconds, spread};
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

    /// For the units of shell.
    fn command(self) -> &'static str {
        match self {
            Self::Ed25519 => "ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key",
            Self::Default => "ssh-keygen -A",
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

/// One list each, in the order of the rounds.
#[derive(Debug, Default)]
struct Times {
    ours: Vec<Duration>,
    theirs: Vec<Duration>,
    shell: Vec<Duration>,
}

/// Two rows for each choice of keys.
///
/// # Errors
/// A guest sent nothing in time, or other keys than it has.
pub(super) fn measure(goldens: &Path, boots: usize, table: &mut Table) -> Result<()> {
    let host = Host::new()?;
    let image = Image::new(goldens)?;
    for keys in [Keys::Ed25519, Keys::Default] {
        let mut times = Times::default();
        // The first round warms the page cache and is not counted.
        for run in 0..=boots {
            let of_ours = report(&host, &image, keys, run)?;
            let of_theirs = phone_home(&host, &image, keys, run)?;
            let of_shell = post_by_shell(&host, &image, keys, run)?;
            if run > 0 {
                times.ours.push(of_ours);
                times.theirs.push(of_theirs);
                times.shell.push(of_shell);
            }
        }
        let peer = "cloud-init's `phone_home` of a NoCloud seed: plain HTTP, unsigned, bound to nothing";
        table.ratio(keys.figure(), &times.ours, (peer, &times.theirs), 1.0);
        table.add(beyond_the_floor(&times));
    }
    Ok(())
}

/// Most of every boot is the boot itself, which neither can make shorter.
fn beyond_the_floor(times: &Times) -> Row {
    let floor = milliseconds(median(&times.shell));
    let beyond = |times: &[Duration]| milliseconds(median(times)) - floor;
    let (ours, theirs) = (beyond(&times.ours), beyond(&times.theirs));
    // Making an RSA key is a matter of luck: with few rounds, the floor may be above what stands on it.
    let ratio = if ours > 0.0 && theirs > 0.0 { format!(": {:.3} x", ours / theirs) } else { String::new() };
    Row {
        figure: "the same, beyond a boot whose keys a unit of shell makes and posts".to_owned(),
        ours: format!("{ours:+.0} ms{ratio}"),
        beside: format!(
            "`phone_home`: {theirs:+.0} ms; the boot with units of shell: {}; n={}, in turns",
            spread(&times.shell),
            times.shell.len()
        ),
        aim: "".into(),
        met: None,
    }
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
    image.renew(Side::Agent)?;
    image.put("etc/firstlight/guest.toml", keys.settings())?;
    let boot = Boot::named(NAME).credential("firstlight.claim", claim.to_one_line().as_bytes());
    first_boot(host, image, boot, keys, || listener.report(&claim, LIMIT))
}

/// Until the form of cloud-init's `phone_home` is there.
fn phone_home(host: &Host, image: &Image, keys: Keys, run: usize) -> Result<Duration> {
    form(host, image, keys, run, |address, instance| {
        image.renew(Side::CloudInit)?;
        image.put("var/lib/cloud/seed/nocloud/user-data", &keys.user_data(&format!("http://{address}/")))?;
        let meta_data = format!("instance-id: {instance}\nlocal-hostname: {NAME}\n");
        image.put("var/lib/cloud/seed/nocloud/meta-data", &meta_data)
    })
}

/// Until such a form is there from units that make keys before sshd starts, and post them after that.
fn post_by_shell(host: &Host, image: &Image, keys: Keys, run: usize) -> Result<Duration> {
    form(host, image, keys, run, |address, instance| {
        image.renew(Side::Shell)?;
        image.put("etc/shell/place", &format!("{} {} {instance}\n", address.ip(), address.port()))?;
        image.put("etc/shell/keys", &format!("{}\n", keys.command()))
    })
}

/// Until a form with this guest's keys is there, of an image that `prepare` tells the address and the instance's id.
fn form(
    host: &Host,
    image: &Image,
    keys: Keys,
    run: usize,
    prepare: impl FnOnce(SocketAddr, &str) -> Result<()>,
) -> Result<Duration> {
    let listener = Listener::plain(host.listen()?)?;
    let instance = format!("{keys:?}-{run}").to_lowercase();
    prepare(listener.address()?, &instance)?;
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

    #[test]
    fn what_the_boot_itself_takes_is_taken_off_both() {
        let list = |times: [u64; 3]| times.map(Duration::from_millis).to_vec();
        let times = Times {
            ours: list([2600, 2500, 2700]),
            theirs: list([4000, 4100, 4200]),
            shell: list([2100; 3]),
        };
        let row = beyond_the_floor(&times);
        assert_eq!(row.ours, "+500 ms: 0.250 x");
        assert!(row.beside.starts_with("`phone_home`: +2000 ms; "), "{}", row.beside);
        let times = Times { shell: list([3000; 3]), ..times };
        assert_eq!(beyond_the_floor(&times).ours, "-400 ms");
    }
}
