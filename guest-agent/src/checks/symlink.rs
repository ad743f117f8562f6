//! `symlink`: it points where it should, and something is there. A NixOS closure, for one.

use std::path::Path;

use firstlight_shared::error::Chain;
use serde::Deserialize;
use serde::de::Error as _;

use super::Look;
use super::value::AbsolutePath;
use crate::sys::{LinkFacts, aside, link_facts};

#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Keys")]
pub(super) struct Symlink {
    path: AbsolutePath,
    wanted: Wanted,
}

#[derive(Debug, Clone)]
enum Wanted {
    Exactly(String),
    BeginsWith(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    path: AbsolutePath,
    target: Option<String>,
    target_prefix: Option<String>,
}

impl TryFrom<Keys> for Symlink {
    type Error = toml::de::Error;
    fn try_from(keys: Keys) -> Result<Self, Self::Error> {
        let wanted = match (keys.target, keys.target_prefix) {
            (Some(target), None) => Wanted::Exactly(target),
            (None, Some(prefix)) => Wanted::BeginsWith(prefix),
            _ => return Err(Self::Error::custom("one of `target` and `target_prefix` is wanted")),
        };
        Ok(Self { path: keys.path, wanted })
    }
}

pub(super) async fn look(keys: &Symlink) -> Look {
    let path = keys.path.0.clone();
    match aside(move || link_facts(Path::new(&path))).await {
        Some(Ok(facts)) => judge(keys, &facts),
        Some(Err(error)) => Look::cannot_tell(Chain(&error).to_string()),
        None => Look::no_thread(),
    }
}

fn judge(keys: &Symlink, facts: &LinkFacts) -> Look {
    let path = &keys.path.0;
    let (target, leads_somewhere) = match facts {
        LinkFacts::Absent => return Look::not_yet(format!("{path} is not there")),
        LinkFacts::NoLink => return Look::not_yet(format!("{path} is no symlink")),
        LinkFacts::Link { target, leads_somewhere } => (target.to_string_lossy(), leads_somewhere),
    };
    let right = match &keys.wanted {
        Wanted::Exactly(wanted) => target == wanted.as_str(),
        Wanted::BeginsWith(prefix) => target.starts_with(prefix.as_str()),
    };
    let look = match (right, leads_somewhere) {
        (true, true) => Look::pass(format!("{path} points to {target}")),
        (true, false) => Look::not_yet(format!("{path} points to {target}, and nothing is there")),
        (false, _) => Look::not_yet(format!("{path} points to {target}")),
    };
    look.seen(target)
}

#[cfg(test)]
mod tests {
    use firstlight_shared::check::Verdict;

    use super::super::units::said;
    use super::*;

    #[test]
    fn a_link_is_judged_by_its_own_target() {
        let link = |target: &str, leads_somewhere| LinkFacts::Link { target: target.into(), leads_somewhere };
        for (keys, facts, verdict) in [
            ("target = \"/a\"", link("/a", true), Verdict::Pass),
            ("target = \"/a\"", link("/ab", true), Verdict::Fail),
            ("target = \"/a\"", link("/a", false), Verdict::Fail),
            ("target_prefix = \"/nix/store/\"", link("/nix/store/x-system", true), Verdict::Pass),
            ("target_prefix = \"/nix/store/\"", link("/tmp", true), Verdict::Fail),
            ("target = \"/a\"", LinkFacts::Absent, Verdict::Fail),
            ("target = \"/a\"", LinkFacts::NoLink, Verdict::Fail),
        ] {
            let check: Symlink = toml::from_str(&format!("path = \"/l\"\n{keys}")).unwrap();
            assert_eq!(said(&judge(&check, &facts)).0, verdict, "{keys} {facts:?}");
        }
        for wrong in ["", "target = \"/a\"\ntarget_prefix = \"/b\"", "target = 1", "tarket = \"/a\""] {
            assert!(toml::from_str::<Symlink>(&format!("path = \"/l\"\n{wrong}")).is_err(), "{wrong}");
        }
    }
}
