//! Which paths of a root the rules want to know of, as a tree of patterns: one walk down it per entry.

use std::collections::{BTreeSet, HashMap};

use firstlight_shared::items::{self, Item};

/// What is kept of a file that a rule reads.
pub(super) const TEXT: usize = 64 << 10;
/// Enough for the header of a program.
const HEADER: usize = 64;

/// Where the agent may be.
pub(super) const AGENT: [&str; 2] = ["usr/bin/firstlight-guest", "usr/local/bin/firstlight-guest"];
/// PID 1: its machine is the golden's.
pub(super) const SYSTEMD: &str = "usr/lib/systemd/systemd";
/// Where units are, in the order in which systemd prefers them.
pub(super) const UNITS: [&str; 3] =
    ["etc/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system"];
/// The configuration that Proxmox puts into a container's backup.
pub(super) const PCT: &str = "etc/vzdump/pct.conf";

/// Beside the items' own paths: only whether it is there.
const PRESENCE: &[&str] = &[
    "etc",
    "usr",
    "etc/machine-id",
    "etc/ssh",
    "etc/network/interfaces",
    "etc/netplan/*",
    "usr/bin/ifup",
    "usr/bin/NetworkManager",
    "usr/lib/systemd/systemd-networkd",
    "etc/cloud/cloud.cfg",
];
/// Text that rules read.
const READ: &[&str] = &[PCT, "etc/os-release", "usr/lib/os-release", "etc/cloud/cloud.cfg.d/*"];
/// In each folder of units.
const UNIT_FILES: &[&str] = &["ssh*.socket", "dropbear*.socket", "tinyssh*.socket"];
/// Likewise, with their texts: any of them may start an SSH server.
const UNIT_TEXTS: &[&str] = &["*.service", "firstlight-*"];
/// What is enabled, by a link in one of these.
const ENABLED: &[&str] = &["firstlight-*", "networking.service", "systemd-networkd.service"];
const DROP_INS: &[&str] = &[
    "ssh*.socket.d/*.conf",
    "dropbear*.socket.d/*.conf",
    "tinyssh*.socket.d/*.conf",
    "*.service.d/*.conf",
    "service.d/*.conf",
    "socket.d/*.conf",
];
/// Rows whose places in the homes below /home count in every folder: homes of services lie anywhere.
const OF_HOMES: [&str; 2] = ["authorized-keys", "user-credentials"];
/// Where packages keep samples; nobody's home is there.
const NO_HOMES: [&str; 3] = ["usr/share/", "usr/lib/", "usr/src/"];

/// What is to be kept of an entry.
#[derive(Debug, Clone, Default)]
pub(super) struct Want {
    pub(super) keep: bool,
    /// Of its bytes, from the beginning.
    pub(super) bytes: usize,
    /// It is the agent: its version stands somewhere in it.
    pub(super) scan: bool,
    /// Rows of the table that have this path.
    pub(super) items: Vec<&'static Item>,
}

#[derive(Debug, Default)]
struct Node {
    literal: HashMap<String, Node>,
    wild: Vec<(String, Node)>,
    want: Want,
}

/// What the tree says of a path.
#[derive(Debug, Default)]
pub(super) struct Match {
    pub(super) want: Want,
    /// Lengths of the folders above it that are wanted themselves.
    pub(super) above: Vec<usize>,
    /// Something below it may be wanted.
    pub(super) leads_on: bool,
}

#[derive(Debug)]
pub(super) struct Wanted {
    root: Node,
    /// Below a home.
    of_homes: Vec<(&'static str, &'static Item)>,
}

impl Wanted {
    /// What all rules want; and `more`, whose text is wanted because a link leads there.
    pub(super) fn new(more: &BTreeSet<String>) -> Self {
        let mut tree = Self { root: Node::default(), of_homes: Vec::new() };
        for item in OF_HOMES.iter().filter_map(|name| items::named(name)) {
            let below = item.paths.iter().filter_map(|path| path.strip_prefix("home/*/"));
            tree.of_homes.extend(below.filter(|path| items::is_literal(path)).map(|path| (path, item)));
        }
        for item in items::all() {
            for path in item.paths {
                let want = tree.at(path);
                want.bytes = want.bytes.max(if item.detect.needs_bytes() { TEXT } else { 0 });
                want.items.push(item);
            }
        }
        PRESENCE.iter().for_each(|path| tree.want(path, 0));
        READ.iter().for_each(|path| tree.want(path, TEXT));
        more.iter().for_each(|path| tree.want(path, TEXT));
        for folder in UNITS {
            UNIT_FILES.iter().for_each(|name| tree.want(&format!("{folder}/{name}"), 0));
            UNIT_TEXTS.iter().for_each(|name| tree.want(&format!("{folder}/{name}"), TEXT));
            for name in ENABLED {
                tree.want(&format!("{folder}/*.wants/{name}"), 0);
                tree.want(&format!("{folder}/*.requires/{name}"), 0);
            }
            DROP_INS.iter().for_each(|name| tree.want(&format!("{folder}/{name}"), TEXT));
        }
        tree.want(SYSTEMD, HEADER);
        for path in AGENT {
            tree.want(path, HEADER);
            tree.at(path).scan = true;
        }
        tree
    }

    fn want(&mut self, path: &str, bytes: usize) {
        let want = self.at(path);
        want.bytes = want.bytes.max(bytes);
    }

    fn at(&mut self, path: &str) -> &mut Want {
        let mut node = &mut self.root;
        for part in canonical(path).split('/') {
            node = if items::is_literal(part) {
                node.literal.entry(part.to_owned()).or_default()
            } else {
                let known = node.wild.iter().position(|(pattern, _)| pattern == part);
                let place = known.unwrap_or_else(|| {
                    node.wild.push((part.to_owned(), Node::default()));
                    node.wild.len() - 1
                });
                &mut node.wild[place].1
            };
        }
        node.want.keep = true;
        &mut node.want
    }

    /// Looks a canonical path up.
    pub(super) fn look(&self, path: &str) -> Match {
        let mut found = Match::default();
        let (mut nodes, mut next, mut end) = (vec![&self.root], Vec::new(), 0);
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            for node in &nodes {
                next.extend(node.literal.get(part));
                let matching = node.wild.iter().filter(|(pattern, _)| items::matches(pattern, part));
                next.extend(matching.map(|(_, node)| node));
            }
            std::mem::swap(&mut nodes, &mut next);
            next.clear();
            if nodes.is_empty() {
                break;
            }
            end += part.len() + usize::from(end > 0);
            if parts.peek().is_none() {
                nodes.iter().for_each(|node| found.want.join(&node.want));
                found.leads_on = nodes.iter().any(|node| !node.is_leaf());
            } else if nodes.iter().any(|node| node.want.keep) {
                found.above.push(end);
            }
        }
        if !found.want.keep
            && let Some(item) = self.of_home(path)
        {
            found.want = Want { keep: true, bytes: TEXT, scan: false, items: vec![item] };
        }
        found
    }

    fn of_home(&self, path: &str) -> Option<&'static Item> {
        if !path.contains("/.") || NO_HOMES.iter().any(|folder| path.starts_with(folder)) {
            return None;
        }
        let is_it = |below: &str| path.strip_suffix(below).is_some_and(|home| home.ends_with('/'));
        self.of_homes.iter().find(|(below, _)| is_it(below)).map(|(_, item)| *item)
    }

    /// Whether everything that is wanted below `one` is wanted below `other` too.
    pub(super) fn covers(&self, other: &str, one: &str) -> bool {
        let mut pair = (Some(&self.root), Some(&self.root));
        for part in canonical(one).split('/') {
            pair.0 = pair.0.and_then(|node| node.literal.get(part));
        }
        for part in canonical(other).split('/') {
            pair.1 = pair.1.and_then(|node| node.literal.get(part));
        }
        matches!(pair, (Some(one), Some(other)) if other.covers(one))
    }
}

impl Want {
    fn join(&mut self, other: &Self) {
        self.keep |= other.keep;
        self.bytes = self.bytes.max(other.bytes);
        self.scan |= other.scan;
        self.items.extend(&other.items);
    }
}

impl Node {
    fn is_leaf(&self) -> bool {
        self.literal.is_empty() && self.wild.is_empty()
    }

    fn covers(&self, one: &Self) -> bool {
        one.literal.iter().all(|(name, node)| self.literal.get(name).is_some_and(|own| own.covers(node)))
            && one.wild.iter().all(|(pattern, node)| {
                self.wild.iter().any(|(own, below)| own == pattern && below.covers(node))
            })
    }
}

/// One spelling for systems with merged and separate `/usr` and `/usr/sbin`.
pub(super) fn canonical(path: &str) -> String {
    let path = match path.split_once('/') {
        Some(("bin" | "sbin", rest)) => format!("usr/bin/{rest}"),
        Some(("lib", rest)) => format!("usr/lib/{rest}"),
        _ => path.to_owned(),
    };
    match path.strip_prefix("usr/sbin/") {
        Some(rest) => format!("usr/bin/{rest}"),
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_knows_what_to_keep_and_what_leads_there() {
        let tree = Wanted::new(&BTreeSet::from(["opt/id".to_owned()]));
        for (path, keep, leads_on) in [
            ("etc/machine-id", true, false),
            ("etc/ssh", true, true),
            ("etc/ssh/ssh_host_ed25519_key", true, false),
            ("etc/ssh/moduli", false, false),
            ("home/somebody/.ssh/id_x", true, false),
            ("home", false, true),
            ("opt/id", true, false),
            ("usr/share/doc/x", false, false),
            ("srv/git/.ssh/authorized_keys2", true, false),
            ("var/lib/jenkins/.netrc", true, false),
            ("srv/git/authorized_keys2", false, false),
            ("srv/x.netrc", false, false),
            ("usr/share/doc/x/.netrc", false, false),
            ("", false, false),
        ] {
            let found = tree.look(path);
            assert_eq!((found.want.keep, found.leads_on), (keep, leads_on), "{path}");
        }
        let found = tree.look("etc/ssh/ssh_host_ed25519_key");
        assert_eq!(found.want.items[0].name, "ssh-host-keys");
        assert!(found.want.bytes == TEXT && found.above == [3, 7]);
        assert_eq!(tree.look("var/log/journal/x/system.journal").above, ["var/log/journal/x".len()]);
        assert!(tree.look("usr/bin/firstlight-guest").want.scan);
    }

    #[test]
    fn a_link_that_shows_the_same_again_is_no_news() {
        let tree = Wanted::new(&BTreeSet::new());
        assert!(tree.covers("var/mail", "var/spool/mail"));
        assert!(!tree.covers("var/roothome", "root") && !tree.covers("etc/ssh", "root/.ssh"));
    }

    #[test]
    fn merged_folders_have_one_spelling() {
        for (path, expected) in [
            ("lib/systemd/systemd", "usr/lib/systemd/systemd"),
            ("sbin/ifup", "usr/bin/ifup"),
            ("usr/sbin/sshd", "usr/bin/sshd"),
            ("lib", "lib"),
            ("etc/lib/x", "etc/lib/x"),
        ] {
            assert_eq!(canonical(path), expected);
        }
    }
}
