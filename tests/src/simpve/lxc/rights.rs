//! What a token needs to set an option of a container.

use std::collections::BTreeMap;

use super::super::access::Need;
use super::super::answer::Refusal;
use super::super::property::Properties;
use super::super::storage::storage_of;
use super::super::world::World;

const FEATURES_ARE_ROOTS: &str = "changing feature flags (except nesting) is only allowed for root@pam";

/// Whose rights count: those on the guest, and while it is made those on its pool.
#[derive(Debug, Clone, Copy)]
pub(super) struct Applicant<'a> {
    pub(super) who: &'a str,
    pub(super) id: u32,
    pub(super) pool: Option<&'a str>,
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
        let Applicant { who, id, pool } = applicant;
        let need = |privilege| self.check_guest_or_pool(who, id, pool, privilege);
        match key.trim_end_matches(|letter: char| letter.is_ascii_digit()) {
            "cores" | "cpulimit" | "cpuunits" => need("VM.Config.CPU"),
            "memory" | "swap" => need("VM.Config.Memory"),
            "rootfs" | "mp" => {
                need("VM.Config.Disk")?;
                let storage = new.map(storage_of).filter(|storage| !storage.starts_with('/'));
                storage.map_or(Ok(()), |storage| {
                    self.check(who, &format!("/storage/{storage}"), &["Datastore.AllocateSpace"], Need::All)
                })
            }
            "unused" => need("VM.Config.Disk"),
            "net" => {
                need("VM.Config.Network")?;
                [old, new].into_iter().flatten().try_for_each(|net| self.check_bridge(who, net))
            }
            "hostname" | "nameserver" | "searchdomain" => need("VM.Config.Network"),
            "features" => check_features(old, new).and_then(|()| need("VM.Allocate")),
            // Not recorded, read from the code: root's alone.
            "hookscript" | "dev" => {
                Err(Refusal::forbidden_because(&format!("changing {key} is only allowed for root@pam")))
            }
            // The pool is forgotten for tags.
            "tags" => self.check(who, &format!("/vms/{id}"), &["VM.Config.Options"], Need::All),
            _ => need("VM.Config.Options"),
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

fn check_features(old: Option<&str>, new: Option<&str>) -> Result<(), Refusal> {
    let others = |text: Option<&str>| {
        let mut features = Properties::parse(text.unwrap_or_default(), "");
        features.remove("nesting");
        features.print(&[], false)
    };
    let nests =
        |text: Option<&str>| Properties::parse(text.unwrap_or_default(), "").get("nesting") == Some("1");
    if others(old) != others(new) || (nests(old) && !nests(new)) {
        return Err(Refusal::forbidden_because(FEATURES_ARE_ROOTS));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_nesting_may_be_changed_and_only_turned_on() {
        let table = [
            (None, Some("nesting=1"), true),
            (Some("keyctl=1"), Some("keyctl=1,nesting=1"), true),
            (None, Some("nesting=1,keyctl=1"), false),
            (Some("nesting=1,keyctl=1"), Some("nesting=1,keyctl=1,fuse=1"), false),
            (Some("nesting=1,keyctl=1"), None, false),
            (Some("nesting=1,keyctl=1"), Some("nesting=0"), false),
        ];
        for (old, new, allowed) in table {
            assert_eq!(check_features(old, new).is_ok(), allowed, "{old:?} to {new:?}");
        }
    }
}
