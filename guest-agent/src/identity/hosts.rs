//! /etc/hosts: whether Proxmox VE writes it, and the golden's old name in it. Pure.

use serde::Serialize;

/// Who writes host name and /etc/hosts at each start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum HostnameOwner {
    #[default]
    Guest,
    /// Its start hook rewrites /etc/hostname and a marked block in /etc/hosts: checked and reported, never written.
    Proxmox,
}

/// The traces of Proxmox VE's start hook in a container.
/// Source: pre_start_hook(), update_etc_hosts(), ct_modify_file() in pve-container's src/PVE/LXC/Setup/Base.pm.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Signs<'a> {
    pub container: Option<&'a str>,
    pub kernel_hostname: Option<&'a str>,
    pub hosts: Option<&'a str>,
    pub resolv_conf: Option<&'a str>,
    /// `.pve-ignore.*` beside the file: the hook leaves it alone.
    pub ignores_hostname: bool,
    pub ignores_hosts: bool,
    pub ignores_resolv_conf: bool,
}

/// A block alone proves little: it stays in an image that was made on Proxmox VE and runs elsewhere. The hook writes it
/// anew at each start with the name that the kernel has then.
pub(crate) fn owner(signs: &Signs<'_>) -> HostnameOwner {
    if signs.container != Some("lxc") || signs.ignores_hostname {
        return HostnameOwner::Guest;
    }
    let first_label = |name: &str| name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let named = |hosts: Vec<&str>| {
        let own = signs.kernel_hostname.map(first_label).unwrap_or_default();
        let names = hosts.into_iter().flat_map(|line| names_of(line).skip(1));
        !own.is_empty() && names.map(first_label).any(|name| name == own)
    };
    let is_proxmox = match written(signs.ignores_hosts, signs.hosts) {
        Some(hosts) => named(hosts),
        // The administrator keeps /etc/hosts from the hook; the hook still writes the name.
        None => signs.ignores_hosts && written(signs.ignores_resolv_conf, signs.resolv_conf).is_some(),
    };
    if is_proxmox { HostnameOwner::Proxmox } else { HostnameOwner::Guest }
}

/// The block that the hook wrote; none where it leaves the file alone.
fn written(ignored: bool, text: Option<&str>) -> Option<Vec<&str>> {
    text.filter(|_| !ignored).and_then(block)
}

/// The lines of the marked block; none if there is no whole one.
fn block(text: &str) -> Option<Vec<&str>> {
    let begin = text.lines().position(|line| is_mark(line, "BEGIN"))?;
    let rest = text.lines().skip(begin + 1);
    let length = rest.clone().position(|line| is_mark(line, "END"))?;
    Some(rest.take(length).collect())
}

/// `# --- BEGIN PVE ---`, with spaces as the hook takes them.
fn is_mark(line: &str, word: &str) -> bool {
    let inner = line.strip_prefix('#').map(str::trim_start).and_then(|rest| rest.strip_prefix("---"));
    let inner = inner.map(str::trim_start).and_then(|rest| rest.strip_prefix(word)).map(str::trim_start);
    inner.is_some_and(|rest| rest.starts_with("PVE"))
}

/// Address and names of a line, without its comment.
fn names_of(line: &str) -> impl Iterator<Item = &str> {
    line.split('#').next().unwrap_or_default().split_ascii_whitespace()
}

/// The text with the old names replaced by the new one, in lines of `127.0.1.1` only; none if nothing changes.
///
/// `old.example.org` becomes `new.example.org`. Names that every machine has are never old ones.
pub(crate) fn rename(text: &str, old: &[String], new: &str) -> Option<String> {
    let mut inside_block = false;
    let mut renamed = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        inside_block = (inside_block || is_mark(line, "BEGIN")) && !is_mark(line, "END");
        if inside_block || names_of(line).next() != Some("127.0.1.1") {
            renamed.push_str(line);
        } else {
            rename_line(line, old, new, &mut renamed);
        }
    }
    (renamed != text).then_some(renamed)
}

fn rename_line(line: &str, old: &[String], new: &str, renamed: &mut String) {
    let (names, comment) = line.split_at(line.find('#').unwrap_or(line.len()));
    for word in names.split_inclusive(|c: char| c.is_ascii_whitespace()) {
        let (name, space) = word.split_at(word.trim_end().len());
        renamed.push_str(&new_name(name, old, new).unwrap_or_else(|| name.to_owned()));
        renamed.push_str(space);
    }
    renamed.push_str(comment);
}

fn new_name(name: &str, old: &[String], new: &str) -> Option<String> {
    let known = old.iter().filter(|old| !old.is_empty() && !old.starts_with("localhost"));
    known.into_iter().find_map(|old| {
        if name.eq_ignore_ascii_case(old) {
            return Some(new.to_owned());
        }
        let domain = name.get(old.len()..)?.strip_prefix('.')?;
        name[..old.len()].eq_ignore_ascii_case(old).then(|| format!("{new}.{domain}"))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As update_etc_hosts() writes it.
    const PVE: &str = "127.0.0.1 localhost\n# --- BEGIN PVE ---\n::1 localhost.localnet localhost\n\
        127.0.1.1 web-01.example.org web-01\n# --- END PVE ---\n";
    const RESOLV: &str = "# --- BEGIN PVE ---\nnameserver 10.0.0.1\n# --- END PVE ---\n";

    fn signs() -> Signs<'static> {
        Signs {
            container: Some("lxc"),
            kernel_hostname: Some("web-01"),
            hosts: Some(PVE),
            ..Signs::default()
        }
    }

    #[test]
    fn the_start_hook_of_proxmox_is_known_by_what_it_wrote_now() {
        use HostnameOwner::{Guest, Proxmox};
        let stray = "# --- BEGIN PVE ---\n127.0.1.1 web-01\n";
        let rows = [
            ("on Proxmox VE", signs(), Proxmox),
            (
                "a name with a domain",
                Signs { kernel_hostname: Some("Web-01.example.org"), ..signs() },
                Proxmox,
            ),
            (
                "a block from another platform's past",
                Signs { kernel_hostname: Some("db-07"), ..signs() },
                Guest,
            ),
            ("no name to compare", Signs { kernel_hostname: None, ..signs() }, Guest),
            ("a virtual machine", Signs { container: None, ..signs() }, Guest),
            ("systemd-nspawn", Signs { container: Some("systemd-nspawn"), ..signs() }, Guest),
            ("no block", Signs { hosts: Some("127.0.1.1 web-01\n"), ..signs() }, Guest),
            ("a torn block", Signs { hosts: Some(stray), ..signs() }, Guest),
            ("no file", Signs { hosts: None, ..signs() }, Guest),
            (
                "no file, but another's block",
                Signs { hosts: None, resolv_conf: Some(RESOLV), ..signs() },
                Guest,
            ),
            ("the name is the administrator's", Signs { ignores_hostname: true, ..signs() }, Guest),
            ("hosts is the administrator's", Signs { ignores_hosts: true, ..signs() }, Guest),
            (
                "hosts is the administrator's, the hook shows elsewhere",
                Signs { ignores_hosts: true, resolv_conf: Some(RESOLV), ..signs() },
                Proxmox,
            ),
            (
                "both are the administrator's",
                Signs {
                    ignores_hosts: true,
                    ignores_resolv_conf: true,
                    resolv_conf: Some(RESOLV),
                    ..signs()
                },
                Guest,
            ),
        ];
        for (name, signs, expected) in rows {
            assert_eq!(owner(&signs), expected, "{name}");
        }
    }

    #[test]
    fn only_known_old_names_in_the_machines_own_line_are_replaced() {
        let old = ["golden".to_owned(), "localhost".to_owned()];
        for (text, expected) in [
            ("127.0.1.1\tgolden\n", Some("127.0.1.1\tweb-01\n")),
            (
                "127.0.1.1  golden.example.org golden extra # golden\n",
                Some("127.0.1.1  web-01.example.org web-01 extra # golden\n"),
            ),
            ("127.0.0.1 localhost\n127.0.1.1 Golden", Some("127.0.0.1 localhost\n127.0.1.1 web-01")),
            (" 127.0.1.1 golden\r\n", Some(" 127.0.1.1 web-01\r\n")),
            ("10.0.0.1 golden\n127.0.0.1 golden\n", None),
            ("# 127.0.1.1 golden\n", None),
            ("127.0.1.1 goldeneye golden-2 my.golden localhost\n", None),
            ("", None),
            ("# --- BEGIN PVE ---\n127.0.1.1 golden\n# --- END PVE ---\n", None),
        ] {
            assert_eq!(rename(text, &old, "web-01").as_deref(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_renamed_once_and_keeps_its_lines(text in "(127\\.0\\.1\\.1[ \t]|golden|\\.|a|é|#|\n| |\r|--- BEGIN PVE){0,40}") {
            let old = ["golden".to_owned()];
            let _ = owner(&Signs { hosts: Some(&text), ..signs() });
            if let Some(renamed) = rename(&text, &old, "web-01") {
                prop_assert_eq!(renamed.matches('\n').count(), text.matches('\n').count());
                prop_assert_eq!(rename(&renamed, &old, "web-01"), None);
            } else {
                prop_assert!(text.is_empty() || rename(&text, &old, "golden").is_none());
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}", name in "\\PC{0,20}") {
            let _ = rename(&text, std::slice::from_ref(&name), "web-01");
            let _ = rename(&format!("127.0.1.1 {name}.{text}"), &[name], "web-01");
        }
    }
}
