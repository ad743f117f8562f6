//! Everything that carries this instance's mark, in one look: folders by their stamps, processes by their names, network
//! namespaces that no folder accounts for. Looks only.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::names::Names;
use super::{netns, stamp};
use crate::backend::Surveyed;

/// What was seen, before it is put together.
#[derive(Debug, Default)]
struct Seen {
    /// Guest and job of each stamped folder, those on their way in or out as well.
    stamped: Vec<(String, String)>,
    /// Guest and job of all that runs.
    running: BTreeSet<(String, String)>,
    /// Guests that have a namespace.
    namespaces: Vec<String>,
}

/// `running` is what the keeper says.
pub(super) fn look(names: &Names, running: &[String]) -> Vec<Surveyed> {
    let pair = |(guest, job): (&str, &str)| (guest.to_owned(), job.to_owned());
    let prefix = names.guest_prefix();
    join(&Seen {
        stamped: stamped(names),
        running: running.iter().filter_map(|what| Names::parse_process(what)).map(pair).collect(),
        namespaces: netns::with_prefix(&prefix)
            .iter()
            .filter_map(|name| name.strip_prefix(&prefix))
            .map(ToOwned::to_owned)
            .collect(),
    })
}

fn stamped(names: &Names) -> Vec<(String, String)> {
    let folders = fs::read_dir(names.guests_folder()).into_iter().flatten().flatten();
    let found = folders.filter_map(|entry| {
        let stamp = stamp::read(&entry.path().join("stamp.json"))?;
        let name = entry.file_name().into_string().ok()?;
        // On its way: `.NAME.DIGEST.way`, and no guest's name has a dot.
        let guest = name.trim_start_matches('.').split('.').next()?.to_owned();
        Some((guest, stamp.job))
    });
    found.collect()
}

fn join(seen: &Seen) -> Vec<Surveyed> {
    let mut found: BTreeMap<(String, Option<String>), bool> = BTreeMap::new();
    for (guest, job) in &seen.stamped {
        found.insert((guest.clone(), Some(job.clone())), false);
    }
    for (guest, job) in &seen.running {
        found.insert((guest.clone(), Some(job.clone())), true);
    }
    for guest in &seen.namespaces {
        if !seen.stamped.iter().any(|(name, _)| name == guest) {
            found.insert((guest.clone(), None), false);
        }
    }
    let surveyed = |((guest, job), running)| Surveyed { job, guest, id: None, running };
    found.into_iter().map(surveyed).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::placement;
    use super::*;

    #[test]
    fn folders_processes_and_lost_namespaces_are_put_together() {
        let pair = |guest: &str, job: &str| (guest.to_owned(), job.to_owned());
        let seen = Seen {
            stamped: vec![pair("a", "j1"), pair("b", "j2")],
            running: [pair("a", "j1"), pair("b", "old")].into(),
            namespaces: vec!["a".into(), "lost".into()],
        };
        let one = |guest: &str, job: Option<&str>, running| Surveyed {
            job: job.map(Into::into),
            guest: guest.into(),
            id: None,
            running,
        };
        assert_eq!(
            join(&seen),
            [
                one("a", Some("j1"), true),
                one("b", Some("j2"), false),
                one("b", Some("old"), true),
                one("lost", None, false)
            ]
        );
    }

    #[test]
    fn folders_on_their_way_out_still_name_their_guest() {
        let folder = tempfile::tempdir().unwrap();
        let names = Names::new(folder.path().into());
        let guest = placement("web-01", "j1");
        stamp::ensure_stamped(&names, &guest).unwrap();
        let gone = names.transit(&guest.plan.name, "j1", "gone");
        fs::rename(names.folder(&guest.plan.name).path, gone).unwrap();
        let found = look(&names, &["web-02.j9".into(), ".fabric".into()]);
        let told: Vec<_> = found.iter().map(|one| (one.guest.as_str(), one.job.as_deref())).collect();
        assert_eq!(told, [("web-01", Some("j1")), ("web-02", Some("j9"))]);
    }
}
