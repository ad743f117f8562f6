//! glob(3) without flags, as sshd calls it for `Include`; and the patterns of algorithm lists.

use super::Files;

/// More matches than any real folder has.
const MAX_MATCHES: usize = 512;

/// Existing paths that an absolute pattern matches, sorted as the C locale sorts.
///
/// # Errors
/// A folder cannot be read, or there are too many matches.
pub(super) fn expand(files: &impl Files, pattern: &str) -> Result<Vec<String>, String> {
    let mut found = vec![String::new()];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        let mut next = Vec::new();
        for base in &found {
            if has_magic(part) {
                let names = files.list(if base.is_empty() { "/" } else { base })?;
                let fitting = names.iter().filter(|name| matches_name(part, name));
                next.extend(fitting.map(|name| format!("{base}/{name}")));
            } else {
                next.push(format!("{base}/{}", unescaped(part)));
            }
        }
        if next.len() > MAX_MATCHES {
            return Err("an Include matches more files than can be read".to_owned());
        }
        found = next;
    }
    found.retain(|path| files.exists(path));
    found.sort();
    Ok(found)
}

/// Whether a pattern of `Include` matches this very path, there or not.
pub(super) fn matches_path(pattern: &str, path: &str) -> bool {
    let parts = |text| str::split(text, '/').filter(|part: &&str| !part.is_empty());
    let (mut patterns, mut names) = (parts(pattern), parts(path));
    loop {
        match (patterns.next(), names.next()) {
            (None, None) => return true,
            (Some(pattern), Some(name)) if matches_name(pattern, name) => {}
            _ => return false,
        }
    }
}

fn has_magic(pattern: &str) -> bool {
    pattern.contains(['*', '?', '['])
}

fn unescaped(pattern: &str) -> String {
    let mut escaped = false;
    let keep = |c: &char| {
        escaped = *c == '\\' && !escaped;
        !escaped
    };
    pattern.chars().filter(keep).collect()
}

/// A hidden name is matched only by a pattern that begins with a dot itself.
fn matches_name(pattern: &str, name: &str) -> bool {
    (!name.starts_with('.') || pattern.starts_with('.') || pattern.starts_with("\\."))
        && matches(pattern, name)
}

/// `*`, `?`, `[a-z]`, `[!a]` and `\` in one name. Time is bounded by the product of both lengths.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where the last star stood, and how much of the name it has eaten.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            Some(_) => one(&pattern[p..], name[n]),
            None => None,
        };
        match (step, star) {
            (Some(length), _) => {
                p += length;
                n += 1;
            }
            (None, Some((at, eaten))) => {
                star = Some((at, eaten + 1));
                p = at + 1;
                n = eaten + 1;
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// How much of the pattern matches this one character.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern {
        ['?', ..] => Some(1),
        ['\\', escaped, ..] => (*escaped == c).then_some(2),
        ['[', set @ ..] => match set_end(set) {
            Some(end) => in_set(&set[..end], c).then_some(end + 2),
            None => (c == '[').then_some(1),
        },
        [plain, ..] => (*plain == c).then_some(1),
        [] => None,
    }
}

/// Where the `]` is that closes a set; one that comes first stands for itself.
fn set_end(set: &[char]) -> Option<usize> {
    let first = usize::from(matches!(set.first(), Some('!' | '^'))) + 1;
    (first..set.len()).find(|at| set[*at] == ']')
}

fn in_set(set: &[char], c: char) -> bool {
    let (negated, mut set) = match set {
        ['!' | '^', rest @ ..] => (true, rest),
        _ => (false, set),
    };
    let mut found = false;
    loop {
        set = match set {
            [from, '-', to, rest @ ..] => {
                found |= (*from..=*to).contains(&c);
                rest
            }
            [single, rest @ ..] => {
                found |= *single == c;
                rest
            }
            [] => return found != negated,
        };
    }
}
