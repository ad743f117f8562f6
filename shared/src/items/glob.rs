//! Simple patterns: `*` and `?` within one component of a path, names that begin with a dot included.

/// Whether a component has no wildcard.
pub fn is_literal(pattern: &str) -> bool {
    !pattern.contains(['*', '?'])
}

/// Whether one name matches one component of a pattern. Linear in both: a hostile name costs nothing.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // Where to go on after a mismatch: behind the last star, one byte further in the name.
    let mut retry = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, n));
                p += 1;
            }
            Some(&wanted) if wanted == b'?' || wanted == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((after_star, taken)) = retry else { return false };
                retry = Some((after_star, taken + 1));
                p = after_star;
                n = taken + 1;
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// Whether a whole path matches a whole pattern, component by component.
pub(super) fn matches_path(pattern: &str, path: &str) -> bool {
    let (mut patterns, mut names) = (pattern.split('/'), path.split('/'));
    loop {
        match (patterns.next(), names.next()) {
            (None, None) => return true,
            (Some(pattern), Some(name)) if matches(pattern, name) => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_within_one_component() {
        for (pattern, name, holds) in [
            ("hostid", "hostid", true),
            ("hostid", "hostid2", false),
            ("*", "", true),
            ("*", ".hidden", true),
            ("*.lease*", "eth0.lease6", true),
            ("*.lease*", "lease", false),
            ("ssh_host_*_key", "ssh_host_ed25519_key", true),
            ("ssh_host_*_key", "ssh_host_ed25519_key.pub", false),
            ("a*b*c", "aXbXbc", true),
            ("a*b*c", "aXbXb", false),
            ("?", "x", true),
            ("?", "", false),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern, name), holds, "{pattern} {name}");
        }
        let long = "a".repeat(100_000);
        assert!(!matches("*a*a*a*a*a*a*a*b", &long));
    }

    #[test]
    fn a_path_matches_component_by_component() {
        assert!(matches_path("etc/ssl/private/*-snakeoil.key", "etc/ssl/private/ssl-cert-snakeoil.key"));
        assert!(!matches_path("etc/*", "etc/ssl/private"));
        assert!(!matches_path("etc/ssl/*", "etc/ssl"));
    }
}
