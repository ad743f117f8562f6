//! Owners by number or name.

use std::path::Path;

use serde::Deserialize;

use crate::accounts::find;
use crate::sys::{SysError, bytes_of};

const MAX_FILE: u64 = 4 << 20;

/// `USER` or `USER:GROUP`, each a name or a number.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Owner {
    user: String,
    group: Option<String>,
}

impl TryFrom<String> for Owner {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text.as_str(), None),
        };
        let right = |name: &str| !name.is_empty() && !name.contains([':', '\n']);
        if right(user) && group.is_none_or(right) {
            return Ok(Self { user: user.to_owned(), group: group.map(str::to_owned) });
        }
        Err(format!("`{text}` is no owner: USER or USER:GROUP is wanted"))
    }
}

/// Numbers of user and group, or what is wrong with the names.
///
/// # Errors
/// One of the two files cannot be read.
pub(super) fn resolve(owner: &Owner) -> Result<Result<(u32, Option<u32>), String>, SysError> {
    let Some(uid) = number(&owner.user, "/etc/passwd")? else {
        return Ok(Err(format!("there is no user `{}` in /etc/passwd", owner.user)));
    };
    let Some(group) = &owner.group else { return Ok(Ok((uid, None))) };
    match number(group, "/etc/group")? {
        Some(gid) => Ok(Ok((uid, Some(gid)))),
        None => Ok(Err(format!("there is no group `{group}` in /etc/group"))),
    }
}

fn number(name: &str, path: &str) -> Result<Option<u32>, SysError> {
    if let Ok(number) = name.parse() {
        return Ok(Some(number));
    }
    let bytes = bytes_of(Path::new(path), MAX_FILE)?.unwrap_or_default();
    Ok(find(&String::from_utf8_lossy(&bytes), name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_of_this_machine_are_owners() {
        let owner = |text: &str| Owner::try_from(text.to_owned()).unwrap();
        assert_eq!(resolve(&owner("0:0")).unwrap(), Ok((0, Some(0))));
        assert_eq!(resolve(&owner("root")).unwrap(), Ok((0, None)));
        assert!(resolve(&owner("no-such-user")).unwrap().is_err());
    }
}
