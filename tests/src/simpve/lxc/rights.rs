//! What a token needs to set an option of a container.

use std::collections::BTreeMap;

use super::super::access::Need;
use super::super::answer::Refusal;
use super::super::property::Properties;
use super::super::world::World;

const FEATURES: &str = "changing feature flags (except nesting) is only allowed for root@pam";
const PRIVILEGED_FEATURES: &str =
    "changing feature flags for privileged container is only allowed for root@pam";

/// Whose rights count: those on the guest, and while it is made those on its pool.
#[derive(Debug, Clone, Copy)]
pub(super) struct Applicant<'a> {
    pub(super) who: &'a str,
    pub(super) id: u32,
    pub(super) pool: Option<&'a str>,
    /// The container is known to be one: a restore that does not say so is not.
    pub(super) unprivileged: bool,
}

impl World {
    /// # Errors
    /// 403 with the path of the guest, even where a right on the pool would have done.
    pub(in super::super) fn check_guest_or_pool(
        &self,
        who: &str,
        id: u32,
        pool: Option<&str>,
        privilege: &str,
    ) -> Result<(), Refusal> {
        if pool.is_some_and(|pool| self.may(who, &format!("/pool/{pool}"), privilege)) {
            return Ok(());
        }
        self.check(who, &format!("/vms/{id}"), &[privilege], Need::All)
    }

    /// `before` and `after` are the options of the container; a missing key is one that is removed.
    pub(super) fn check_lxc_options<'a>(
        &self,
        applicant: Applicant,
        keys: impl Iterator<Item = &'a str>,
        before: &BTreeMap<String, String>,
        after: &BTreeMap<String, String>,
    ) -> Result<(), Refusal> {
        let mut keys: Vec<&str> = keys.collect();
        keys.sort_unstable();
        for key in keys {
            let (old, new) = (before.get(key).map(String::as_str), after.get(key).map(String::as_str));
            self.check_lxc_option(applicant, key, old, new)?;
        }
        Ok(())
    }

    fn check_lxc_option(
        &self,
        applicant: Applicant,
        key: &str,
        old: Option<&str>,
        new: Option<&str>,
    ) -> Result<(), Refusal> {
        let Applicant { who, id, pool, unprivileged } = applicant;
        let need = |privilege| self.check_guest_or_pool(who, id, pool, privilege);
        match key.trim_end_matches(|letter: char| letter.is_ascii_digit()) {
            "cores" | "cpulimit" | "cpuunits" => need("VM.Config.CPU"),
            "memory" | "swap" => need("VM.Config.Memory"),
            "rootfs" | "mp" => {
                need("VM.Config.Disk")?;
                new.map_or(Ok(()), |disk| self.check_lxc_disk(who, disk))
            }
            "unused" => need("VM.Config.Disk"),
            "net" => {
                need("VM.Config.Network")?;
                [old, new].into_iter().flatten().try_for_each(|net| self.check_bridge(who, net))
            }
            "hostname" | "nameserver" | "searchdomain" => need("VM.Config.Network"),
            "features" if !unprivileged => Err(Refusal::forbidden_because(PRIVILEGED_FEATURES)),
            "features" => match check_features(old, new)? {
                true => need("VM.Allocate"),
                false => Ok(()),
            },
            "hookscript" => {
                Err(Refusal::forbidden_because("changing the hookscript is only allowed for root@pam"))
            }
            "dev" => {
                Err(Refusal::forbidden_because("configuring device passthrough is only allowed for root@pam"))
            }
            // The pool is forgotten for tags.
            "tags" => self.check(who, &format!("/vms/{id}"), &["VM.Config.Options"], Need::All),
            _ => need("VM.Config.Options"),
        }
    }

    /// Paths of the node are root's; a new volume needs room on its storage.
    fn check_lxc_disk(&self, who: &str, disk: &str) -> Result<(), Refusal> {
        if disk.starts_with('/') {
            let kind = if disk.starts_with("/dev/") { "device" } else { "bind" };
            let why = format!("mount point type {kind} is only allowed for root@pam");
            return Err(Refusal::forbidden_because(&why));
        }
        match disk.split_once(':') {
            Some((storage, _)) => {
                self.check(who, &format!("/storage/{storage}"), &["Datastore.AllocateSpace"], Need::All)
            }
            None => Ok(()),
        }
    }

    /// SDN.Use on the bridge of a network device.
    pub(in super::super) fn check_bridge(&self, who: &str, net: &str) -> Result<(), Refusal> {
        let net = Properties::parse(net, "name");
        let Some(bridge) = net.get("bridge") else { return Ok(()) };
        let tag = net.get("tag").map(|tag| format!("/{tag}")).unwrap_or_default();
        self.check(who, &format!("/sdn/zones/localnetwork/{bridge}{tag}"), &["SDN.Use"], Need::All)
    }
}

/// Whether nesting is changed; anything else may not be.
fn check_features(old: Option<&str>, new: Option<&str>) -> Result<bool, Refusal> {
    let others = |text: Option<&str>| {
        let mut features = Properties::parse(text.unwrap_or_default(), "");
        features.remove("nesting");
        features.print(&[], false)
    };
    let nesting = |text: Option<&str>| {
        Properties::parse(text.unwrap_or_default(), "").get("nesting").map(str::to_owned)
    };
    if others(old) != others(new) {
        return Err(Refusal::forbidden_because(FEATURES));
    }
    Ok(nesting(old) != nesting(new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_nesting_may_be_changed() {
        let table = [
            (None, Some("nesting=1"), Some(true)),
            (Some("keyctl=1"), Some("keyctl=1,nesting=1"), Some(true)),
            (Some("nesting=1"), None, Some(true)),
            (Some("nesting=1,keyctl=1"), Some("keyctl=1,nesting=1"), Some(false)),
            (None, Some("nesting=1,keyctl=1"), None),
            (Some("nesting=1,keyctl=1"), Some("nesting=1,keyctl=1,fuse=1"), None),
            (Some("nesting=1,keyctl=1"), None, None),
            (Some("nesting=1,keyctl=1"), Some("nesting=0"), None),
        ];
        for (old, new, changed) in table {
            assert_eq!(check_features(old, new).ok(), changed, "{old:?} to {new:?}");
        }
    }
}
