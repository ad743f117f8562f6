//! `file`: it exists, with the owner, mode and content that it should have.

use firstlight_shared::error::Chain;
use serde::Deserialize;

use super::value::{AbsolutePath, Sha256Text};
use super::{Look, owner};
use crate::sys::{FileFacts, SysError, aside, file_facts, sha256_of};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileCheck {
    path: AbsolutePath,
    owner: Option<owner::Owner>,
    mode: Option<Mode>,
    sha256: Option<Sha256Text>,
}

/// Permission bits, written as chmod(1) takes them: `"0640"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Mode(u32);

impl TryFrom<String> for Mode {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let mode = u32::from_str_radix(&text, 8).ok().filter(|mode| *mode <= 0o7777);
        mode.map(Self).ok_or_else(|| format!("`{text}` is no mode: octal digits as \"0640\" are wanted"))
    }
}

pub(super) async fn look(keys: &FileCheck) -> Look {
    let keys = keys.clone();
    aside(move || observe(&keys)).await.unwrap_or_else(Look::no_thread)
}

fn observe(keys: &FileCheck) -> Look {
    let path = std::path::Path::new(&keys.path.0);
    let observed = || -> Result<Look, SysError> {
        let facts = file_facts(path)?;
        let owner = match &keys.owner {
            None => None,
            Some(owner) => match owner::resolve(owner)? {
                Ok(ids) => Some(ids),
                Err(problem) => return Ok(Look::not_yet(problem)),
            },
        };
        if let Err(problem) = judge(keys, owner, facts) {
            return Ok(Look::not_yet(problem));
        }
        let Some(Sha256Text(wanted)) = &keys.sha256 else {
            return Ok(Look::pass(format!("{} is as it should be", keys.path.0)));
        };
        let found = sha256_of(path)?;
        Ok(if found == *wanted {
            Look::pass(format!("{} is as it should be", keys.path.0))
        } else {
            Look::not_yet(format!("{} has the SHA-256 {found}", keys.path.0))
        })
    };
    observed().unwrap_or_else(|error| Look::cannot_tell(Chain(&error).to_string()))
}

fn judge(
    keys: &FileCheck,
    owner: Option<(u32, Option<u32>)>,
    facts: Option<FileFacts>,
) -> Result<(), String> {
    let path = &keys.path.0;
    let Some(facts) = facts else { return Err(format!("{path} is not there")) };
    if keys.sha256.is_some() && !facts.is_file {
        return Err(format!("{path} is no regular file"));
    }
    if let Some((uid, gid)) = owner
        && (facts.uid != uid || gid.is_some_and(|gid| gid != facts.gid))
    {
        return Err(format!("{path} belongs to {}:{}", facts.uid, facts.gid));
    }
    match keys.mode {
        Some(Mode(mode)) if mode != facts.mode => Err(format!("{path} has mode {:04o}", facts.mode)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_judged_by_all_that_is_asked() {
        let facts = FileFacts { is_file: true, uid: 0, gid: 42, mode: 0o640 };
        let check = |keys: &str| toml::from_str::<FileCheck>(&format!("path = \"/f\"\n{keys}")).unwrap();
        for (keys, owner, facts, expected) in [
            ("", None, Some(facts), Ok(())),
            ("", None, None, Err("/f is not there")),
            ("mode = \"0640\"", None, Some(facts), Ok(())),
            ("mode = \"4640\"", None, Some(facts), Err("/f has mode 0640")),
            ("", Some((0, None)), Some(facts), Ok(())),
            ("", Some((0, Some(42))), Some(facts), Ok(())),
            ("", Some((0, Some(0))), Some(facts), Err("/f belongs to 0:42")),
            ("", Some((1, None)), Some(facts), Err("/f belongs to 0:42")),
        ] {
            let judged = judge(&check(keys), owner, facts);
            assert_eq!(judged, expected.map_err(str::to_owned), "{keys} {owner:?}");
        }
        let digest = format!("sha256 = \"{}\"", "0".repeat(64));
        let folder = FileFacts { is_file: false, ..facts };
        assert!(judge(&check(&digest), None, Some(folder)).is_err());
        for wrong in ["mode = \"9\"", "mode = 640", "sha256 = \"ab\"", "owner = \"\"", "owner = \"a:b:c\""] {
            assert!(toml::from_str::<FileCheck>(&format!("path = \"/f\"\n{wrong}")).is_err(), "{wrong}");
        }
        assert!(toml::from_str::<FileCheck>("path = \"f\"").is_err());
    }
}
