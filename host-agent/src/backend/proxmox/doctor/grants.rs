//! The commands that give a token what it lacks. Pure.
//!
//! An entry on a path takes the place of what comes from above: a role that is put there has what the token has there
//! already, too. And a token with privilege separation has only what its user has as well, so both are given it.

use std::collections::BTreeSet;

/// A role for a path, for a node's shell as root. `wanted` with what the token `has` there of the same kind.
pub(super) fn grant(token: &str, path: &str, wanted: &BTreeSet<&str>, has: &BTreeSet<String>) -> Vec<String> {
    let (role, family) = role(path);
    let kept = has.iter().map(String::as_str).filter(|one| family.iter().any(|stem| one.starts_with(stem)));
    let privileges: BTreeSet<&str> = wanted.iter().copied().chain(kept).collect();
    let list = privileges.into_iter().collect::<Vec<_>>().join(",");
    let user = token.split_once('!').map_or(token, |(user, _)| user);
    let path = quoted(path);
    let mut lines = vec![format!(
        "pveum role add {role} --privs {list} || pveum role modify {role} --append 1 --privs {list}"
    )];
    // It has everything.
    if user != "root@pam" {
        lines.push(format!("pveum acl modify {path} --users {} --roles {role}", quoted(user)));
    }
    lines.push(format!("pveum acl modify {path} --tokens {} --roles {role}", quoted(token)));
    lines
}

fn role(path: &str) -> (&'static str, &'static [&'static str]) {
    match path.split('/').nth(1) {
        Some("storage") => ("FirstlightStorage", &["Datastore."]),
        Some("sdn") => ("FirstlightNetwork", &["SDN."]),
        Some("nodes") => ("FirstlightNodes", &["Sys."]),
        Some("vms") if path != "/vms" => ("FirstlightGoldens", &["VM."]),
        _ => ("FirstlightGuests", &["VM.", "Pool."]),
    }
}

/// For a shell: `!` would be its history.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-@".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_token_get_a_role_that_takes_nothing_away() {
        let has = BTreeSet::from(["VM.Audit".to_owned(), "Sys.Audit".to_owned()]);
        let lines = grant("a@pve!t1", "/vms", &BTreeSet::from(["VM.Allocate"]), &has);
        assert_eq!(
            lines,
            [
                "pveum role add FirstlightGuests --privs VM.Allocate,VM.Audit || pveum role modify FirstlightGuests --append 1 --privs VM.Allocate,VM.Audit",
                "pveum acl modify /vms --users a@pve --roles FirstlightGuests",
                "pveum acl modify /vms --tokens 'a@pve!t1' --roles FirstlightGuests",
            ]
        );
        let of_root =
            grant("root@pam!t1", "/storage/x", &BTreeSet::from(["Datastore.Audit"]), &BTreeSet::new());
        assert!(
            of_root.len() == 2
                && of_root[1].contains("--tokens")
                && of_root[1].ends_with("FirstlightStorage")
        );
    }

    #[test]
    fn a_shell_takes_every_word_as_one() {
        assert_eq!(
            (quoted("a@pve"), quoted("a'b"), quoted("$(x)")),
            ("a@pve".into(), r"'a'\''b'".into(), "'$(x)'".into())
        );
    }
}
