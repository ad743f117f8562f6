//! Secret files that the claim names: in place before the gate, and so before the first unit that needs them.
//!
//! Most hypervisors put them into the root before its start; then nothing is to be done here but to look. Where one can only
//! pass a few bytes (a systemd credential, a container's environment), they are written here. The report says which digest,
//! mode and owner each file has: never what is in it.

mod channel;

use firstlight_shared::error::Chain;
use firstlight_shared::text::escape;
use firstlight_shared::wire::{Claim, ExpectedSecret, SecretOutcome, secret_prefix};
use zeroize::Zeroizing;

use crate::accounts;
use crate::sys::{Kind, Machine, Root, SysError};

/// As the host limits it.
const MOST: usize = 32;

/// Writes what was passed, and looks at every file that the claim names.
pub(crate) fn settle(machine: &Machine, claim: Option<&Claim>) -> Vec<SecretOutcome> {
    let Some(claim) = claim.filter(|_| machine.live) else { return Vec::new() };
    let secrets = claim.secrets.iter().take(MOST).enumerate();
    secrets.map(|(index, expected)| settle_one(machine, index, expected)).collect()
}

/// Whether a file is one that the claim names: none of the golden's leftovers. `path` is relative to the root.
pub(crate) fn is_delivered(claim: Option<&Claim>, path: &str) -> bool {
    let names = |secret: &ExpectedSecret| secret.path.strip_prefix('/') == Some(path);
    claim.is_some_and(|claim| claim.secrets.iter().any(names))
}

/// One line each.
pub(crate) fn problems(outcomes: &[SecretOutcome]) -> impl Iterator<Item = String> {
    outcomes.iter().filter_map(|outcome| {
        let problem = outcome.problem.as_ref()?;
        Some(format!("the secret {}: {problem}", escape(&outcome.path, 200)))
    })
}

fn settle_one(machine: &Machine, index: usize, expected: &ExpectedSecret) -> SecretOutcome {
    let mut outcome = SecretOutcome {
        path: expected.path.clone(),
        sha256_prefix: None,
        mode: None,
        owner: None,
        problem: None,
    };
    let settled = Wanted::parse(machine, expected).and_then(|wanted| {
        if let Some(content) = channel::passed(machine, index)? {
            put(&machine.root, &wanted, &content).map_err(|error| Chain(&error).to_string())?;
        }
        look(&machine.root, &wanted, &mut outcome)
    });
    outcome.problem = settled.err();
    outcome
}

/// One of them, in the terms of this root.
struct Wanted<'a> {
    /// Relative to the root.
    path: &'a str,
    mode: u32,
    ids: (u32, u32),
    told: &'a ExpectedSecret,
}

impl<'a> Wanted<'a> {
    fn parse(machine: &Machine, told: &'a ExpectedSecret) -> Result<Self, String> {
        let path = told.path.strip_prefix('/').filter(|path| !path.is_empty() && !path.ends_with('/'));
        let path = path.ok_or("its path is not absolute")?;
        let mode = u32::from_str_radix(&told.mode, 8).ok().filter(|mode| *mode <= 0o777);
        let mode = mode.ok_or("its mode is none")?;
        let (user, group) = told.owner.split_once(':').ok_or("its owner is none")?;
        let number = |name: &str, file: &str| -> Result<u32, String> {
            if let Ok(number) = name.parse() {
                return Ok(number);
            }
            let text =
                machine.root.read(file).map_err(|error| Chain(&error).to_string())?.unwrap_or_default();
            accounts::find(&String::from_utf8_lossy(&text), name)
                .ok_or_else(|| format!("/{file} has no `{}`", escape(name, 64)))
        };
        let ids = (number(user, "etc/passwd")?, number(group, "etc/group")?);
        Ok(Self { path, mode, ids, told })
    }
}

/// What is so already is left alone: its time of change is a sign to services.
fn put(root: &Root, wanted: &Wanted<'_>, content: &[u8]) -> Result<(), SysError> {
    let is_file = root.kind(wanted.path) == Some(Kind::File);
    let there = if is_file { root.read(wanted.path).ok().flatten().map(Zeroizing::new) } else { None };
    let same = there.is_some_and(|there| there.as_slice() == content);
    if same && root.mode(wanted.path) == Some(wanted.mode) && root.owner(wanted.path) == Some(wanted.ids) {
        return Ok(());
    }
    root.replace_owned(wanted.path, wanted.mode, wanted.ids, content)
}

fn look(root: &Root, wanted: &Wanted<'_>, outcome: &mut SecretOutcome) -> Result<(), String> {
    match root.kind(wanted.path) {
        None => return Err("it is not there".to_owned()),
        Some(Kind::File) => {}
        Some(_) => return Err("it is no regular file".to_owned()),
    }
    let content = root.read(wanted.path).map_err(|error| Chain(&error).to_string())?;
    let content = Zeroizing::new(content.ok_or("it is not there")?);
    outcome.sha256_prefix = Some(secret_prefix(&content));
    outcome.mode = root.mode(wanted.path).map(|mode| format!("{mode:04o}"));
    outcome.owner = root.owner(wanted.path).map(|(user, group)| match (user, group) == wanted.ids {
        true => wanted.told.owner.clone(),
        false => format!("{user}:{group}"),
    });
    Ok(())
}

#[cfg(test)]
mod tests;
