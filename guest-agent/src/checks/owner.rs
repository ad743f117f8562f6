//! Owners by number or name. Names are read from /etc/passwd and /etc/group themselves: getpwnam(3) kills a static
//! program in a foreign root.

use std::path::Path;

use serde::Deserialize;

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

/// The third field of the first line that begins with the name. Source: passwd(5), group(5).
fn find(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_either_file() {
        let text = "root:x:0:0:root:/root:/bin/bash\nodd\nwww-data:x:33:33::/var/www:/usr/sbin/nologin\n";
        assert_eq!(find(text, "root"), Some(0));
        assert_eq!(find(text, "www-data"), Some(33));
        assert_eq!(find(text, "www"), None);
        assert_eq!(find("adm:x:4:syslog\n", "adm"), Some(4));
        let owner = |text: &str| Owner::try_from(text.to_owned()).unwrap();
        assert_eq!(resolve(&owner("0:0")).unwrap(), Ok((0, Some(0))));
        assert_eq!(resolve(&owner("root")).unwrap(), Ok((0, None)));
        assert!(resolve(&owner("no-such-user")).unwrap().is_err());
    }
}
