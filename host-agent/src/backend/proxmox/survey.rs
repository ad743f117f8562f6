//! Everything that carries a stamp of ours: two lists of each node, and the configuration of guests that are new or have
//! changed. What was read is remembered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::client::endpoint::config::ReadConfig;
use super::client::endpoint::guest::{Guest, Kind, ListNodeGuests, NodeGuestLine};
use super::client::verdict::{Class, Code, Patience};
use super::settings::Defaults;
use super::stamp;
use crate::backend::Surveyed;
use crate::outcome::Fault;

/// Configurations that one survey reads at most. A survey that is not done then says so, and the next goes on.
const READS: usize = 400;
/// Calls at the same time.
const AT_ONCE: usize = 4;
/// After this a configuration is read again, though nothing in the lists has changed: of a guest that is nobody's.
const OLD: Duration = Duration::from_secs(15 * 60);
/// The same of one with a stamp: people edit notes, and no list shows it.
const OLD_STAMP: Duration = Duration::from_secs(60);
/// Of those that are only old, so many in one survey.
const REFRESHED: usize = 4;

/// What the lists say of a guest. While that stays, so does its stamp.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Face {
    kind: Kind,
    node: String,
    name: String,
    lock: Option<String>,
    tags: Option<String>,
}

impl Face {
    fn of(node: &str, kind: Kind, line: &NodeGuestLine) -> Self {
        Self {
            kind,
            node: node.to_owned(),
            name: line.name.clone().unwrap_or_default(),
            lock: line.lock.clone(),
            tags: line.tags.clone(),
        }
    }

    fn has_tag(&self, tags: &[String]) -> bool {
        let mut own = self.tags.iter().flat_map(|own| own.split([';', ',', ' ']));
        own.any(|own| tags.iter().any(|tag| tag.eq_ignore_ascii_case(own)))
    }
}

/// A guest as it was last seen.
#[derive(Debug, Clone)]
struct Known {
    face: Face,
    running: bool,
    /// The stamp, and when it was read. None: it was not, since the face changed.
    read: Option<(Option<String>, Instant)>,
}

/// What is remembered between surveys.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<BTreeMap<u32, Known>>);

/// A guest of a list, and whether it runs.
type Listed = (u32, Face, bool);

/// Takes in what the lists say of the nodes that answered. Guests of the nodes that are `away` stay as they were; what is
/// in neither is gone.
fn take_in(known: &mut BTreeMap<u32, Known>, listed: Vec<Listed>, away: &BTreeSet<String>) {
    let there: BTreeSet<u32> = listed.iter().map(|(vmid, ..)| *vmid).collect();
    known.retain(|vmid, one| there.contains(vmid) || away.contains(&one.face.node));
    for (vmid, face, running) in listed {
        match known.get_mut(&vmid) {
            Some(one) if one.face == face => one.running = running,
            _ => drop(known.insert(vmid, Known { face, running, read: None })),
        }
    }
}

/// Whose configuration has to be read, in this order: those with our tag, then running ones.
fn unread(known: &BTreeMap<u32, Known>, away: &BTreeSet<String>, tags: &[String]) -> Vec<u32> {
    let mut unread: Vec<_> = known
        .iter()
        .filter(|(_, one)| one.read.is_none() && !away.contains(&one.face.node))
        .map(|(vmid, one)| (!one.face.has_tag(tags), !one.running, *vmid))
        .collect();
    unread.sort_unstable();
    unread.into_iter().map(|(_, _, vmid)| vmid).collect()
}

/// Whose configuration was read too long ago; the oldest first.
fn old(known: &BTreeMap<u32, Known>, away: &BTreeSet<String>) -> Vec<u32> {
    let mut old: Vec<_> = known
        .iter()
        .filter(|(_, one)| !away.contains(&one.face.node))
        .filter_map(|(vmid, one)| Some((one.read.as_ref()?, *vmid)))
        .filter(|((stamp, at), _)| at.elapsed() > if stamp.is_some() { OLD_STAMP } else { OLD })
        .map(|((_, at), vmid)| (*at, vmid))
        .collect();
    old.sort_unstable();
    old.into_iter().map(|(_, vmid)| vmid).collect()
}

fn ours(known: &BTreeMap<u32, Known>) -> Vec<Surveyed> {
    let stamped = known.iter().filter_map(|(vmid, one)| Some((vmid, one.read.as_ref()?.0.clone()?, one)));
    stamped
        .map(|(vmid, job, one)| Surveyed {
            job: Some(job),
            guest: one.face.name.clone(),
            id: Some(vmid.to_string()),
            running: one.running,
        })
        .collect()
}

/// Whether the guest may be ours: no template, and of a number that we choose, or with our tag.
fn may_be_ours(vmid: u32, line: &NodeGuestLine, face: &Face, defaults: &Defaults) -> bool {
    !line.template && (defaults.vmids.contains(&vmid) || face.has_tag(&defaults.tags))
}

impl super::Proxmox {
    /// # Errors
    /// A node that should answer does not; or there are more new guests than can be read at once: then the next survey
    /// goes on. Half a survey would say of guests that they are not there.
    pub(super) async fn survey_guests(&self) -> Result<Vec<Surveyed>, Fault> {
        let nodes = self.nodes().await?;
        let online: BTreeSet<String> = self.online_nodes().await?.into_iter().map(|node| node.node).collect();
        let away: BTreeSet<String> =
            nodes.iter().map(|node| node.node.clone()).filter(|node| !online.contains(node)).collect();
        let listed = match self.list_live(&online).await {
            Ok(listed) => listed,
            Err(fault) => {
                // It may be offline, and the next survey does without it.
                self.forget_nodes().await;
                return Err(fault);
            }
        };
        let listed = listed.into_iter().filter_map(|(node, kind, line)| {
            let face = Face::of(&node, kind, &line);
            may_be_ours(line.vmid, &line, &face, &self.defaults)
                .then(|| (line.vmid, face, line.status == "running"))
        });
        let mut known = self.cluster.seen.0.lock().await;
        take_in(&mut known, listed.collect(), &away);
        let wanted = unread(&known, &away, &self.defaults.tags);
        let (now, later) = wanted.split_at(wanted.len().min(READS));
        let refreshed = old(&known, &away).into_iter().take(REFRESHED);
        let wanted: Vec<u32> = now.iter().copied().chain(refreshed).collect();
        for some in wanted.chunks(AT_ONCE) {
            let guests = some.iter().filter_map(|vmid| {
                let face = &known.get(vmid)?.face;
                Some(Guest { node: face.node.clone(), kind: face.kind, vmid: *vmid })
            });
            for (vmid, stamp) in join_all(guests.map(|guest| self.read_stamp(guest))).await {
                if let (Some(one), Some(stamp)) = (known.get_mut(&vmid), stamp?) {
                    one.read = Some((stamp, Instant::now()));
                }
            }
        }
        if !later.is_empty() {
            let problem = format!("{} guests are still to be looked into", later.len());
            return Err(Fault::new("survey-unfinished", problem));
        }
        Ok(ours(&known))
    }

    /// The guests of these nodes, now.
    pub(super) async fn list_live(
        &self,
        nodes: &BTreeSet<String>,
    ) -> Result<Vec<(String, Kind, NodeGuestLine)>, Fault> {
        let client = self.client.with_patience(Patience::NONE);
        let lists: Vec<ListNodeGuests> = nodes
            .iter()
            .flat_map(|node| [Kind::Lxc, Kind::Qemu].map(|kind| ListNodeGuests { node: node.clone(), kind }))
            .collect();
        let mut found = Vec::new();
        for some in lists.chunks(AT_ONCE) {
            let answers = join_all(some.iter().map(|list| client.send(list))).await;
            for (list, answer) in some.iter().zip(answers) {
                let lines = answer.map_err(|error| Fault::from(&error))?;
                found.extend(lines.into_iter().map(|line| (list.node.clone(), list.kind, line)));
            }
        }
        Ok(found)
    }

    /// Its stamp, if it has one that the token may read. None: the guest is gone, or nobody knows yet; one guest with a
    /// broken configuration must not hide all others.
    async fn read_stamp(&self, guest: Guest) -> (u32, Result<Option<Option<String>>, Fault>) {
        let vmid = guest.vmid;
        let client = self.client.with_patience(Patience::NONE);
        let stamp = match client.send(&ReadConfig { guest, current: false }).await {
            Ok(config) => {
                Ok(Some(stamp::job_of(config.description().unwrap_or_default()).map(str::to_owned)))
            }
            Err(error) => match error.class {
                Class::Denied { .. } => Ok(Some(None)),
                Class::Gone => Ok(None),
                Class::Rejected { code, .. } if code != Code::Unauthenticated => Ok(None),
                _ => Err(Fault::from(&error)),
            },
        };
        (vmid, stamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(name: &str, tags: Option<&str>) -> Face {
        Face {
            kind: Kind::Lxc,
            node: "pve1".to_owned(),
            name: name.to_owned(),
            lock: None,
            tags: tags.map(str::to_owned),
        }
    }

    fn away(nodes: &[&str]) -> BTreeSet<String> {
        nodes.iter().map(|node| (*node).to_owned()).collect()
    }

    fn read_all(known: &mut BTreeMap<u32, Known>) {
        known.values_mut().for_each(|one| one.read = Some((Some("job".to_owned()), Instant::now())));
    }

    #[test]
    fn guests_are_read_when_they_are_new_or_look_different() {
        let tags = ["firstlight".to_owned()];
        let mut known = BTreeMap::new();
        let (none, tagged) = (away(&[]), || face("b", Some("x;Firstlight")));
        take_in(
            &mut known,
            vec![(101, face("a", None), false), (102, tagged(), false), (103, face("c", None), true)],
            &none,
        );
        assert_eq!(unread(&known, &none, &tags), [102, 103, 101], "our tag, then what runs");
        assert!(ours(&known).is_empty());
        read_all(&mut known);
        assert!(unread(&known, &none, &tags).is_empty());
        let started = |vmid| ours(&known.clone()).iter().filter(|one| one.running).count() == vmid;
        assert!(started(1));
        // 101 runs now, 102 has another name, 103 is gone.
        take_in(&mut known, vec![(101, face("a", None), true), (102, face("x", None), false)], &none);
        assert_eq!(unread(&known, &none, &tags), [102]);
        let found: Vec<_> = ours(&known).into_iter().map(|one| (one.guest, one.running)).collect();
        assert_eq!(found, [("a".to_owned(), true)]);
        // Its node does not answer: it stays as it was.
        take_in(&mut known, Vec::new(), &away(&["pve1"]));
        assert_eq!(ours(&known).len(), 1);
        assert!(unread(&known, &away(&["pve1"]), &tags).is_empty());
        take_in(&mut known, Vec::new(), &none);
        assert!(known.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_read_long_ago_is_read_again() {
        let none = away(&[]);
        let mut known = BTreeMap::new();
        take_in(&mut known, vec![(101, face("a", None), true)], &none);
        read_all(&mut known);
        assert!(old(&known, &none).is_empty());
        tokio::time::advance(OLD_STAMP + Duration::from_secs(1)).await;
        assert_eq!(old(&known, &none), [101], "notes are edited, and no list shows it");
        known.values_mut().for_each(|one| one.read = Some((None, Instant::now())));
        tokio::time::advance(OLD_STAMP + Duration::from_secs(1)).await;
        assert!(old(&known, &none).is_empty(), "nobody's");
        read_all(&mut known);
        tokio::time::advance(OLD + Duration::from_secs(1)).await;
        assert_eq!(old(&known, &none), [101]);
        assert!(old(&known, &away(&["pve1"])).is_empty());
        assert_eq!(ours(&known).len(), 1, "it counts until then");
    }

    #[test]
    fn only_what_may_be_ours_is_looked_into() {
        let defaults = Defaults { vmids: 100..=199, ..Defaults::default() };
        let line = |template| NodeGuestLine {
            vmid: 0,
            name: None,
            status: "stopped".to_owned(),
            lock: None,
            tags: None,
            template,
        };
        for (vmid, tags, template, expected) in [
            (100, None, false, true),
            (99, None, false, false),
            (200, None, false, false),
            (200, Some("a;firstlight"), false, true),
            (200, Some("firstlights"), false, false),
            (100, Some("firstlight"), true, false),
        ] {
            let face = face("a", tags);
            assert_eq!(may_be_ours(vmid, &line(template), &face, &defaults), expected, "{vmid} {tags:?}");
        }
    }
}
