//! Keys that an operator knows: lines of allowed_signers or known_hosts, or bare public keys.
//!
//! Read are: names with `*`, `?` and `!`; the option `namespaces=`; the marker `@revoked`. A line that says more
//! (`cert-authority`, `valid-before=`, hashed names) vouches for nobody, and is told of where a key is missing.

use firstlight_shared::text::escape;
use ssh_key::PublicKey;
use ssh_key::public::KeyData;

/// What one key stands for that was given by itself: any name.
pub const ONE_KEY: &str = "*";

#[derive(Debug, Clone, Default)]
pub struct KnownKeys {
    keys: Vec<Known>,
    /// Lines that vouch for nobody, and why.
    left_out: Vec<String>,
}

#[derive(Debug, Clone)]
struct Known {
    names: Vec<String>,
    /// None: any purpose.
    namespaces: Option<Vec<String>>,
    revoked: bool,
    key: KeyData,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KnownKeysError {
    #[error("line {line} holds no public key: `{text}`")]
    Line { line: usize, text: String },
    #[error("`{text}` is no public key: a line as `ssh-ed25519 AAAA...` is wanted")]
    Key { text: String },
}

impl KnownKeys {
    /// Reads a file of lines.
    pub fn parse(text: &str) -> Result<Self, KnownKeysError> {
        let mut known = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match parse_line(line) {
                Some(Ok(one)) => known.keys.push(one),
                Some(Err(why)) => known.left_out.push(format!("line {}: {why}", index + 1)),
                None => return Err(KnownKeysError::Line { line: index + 1, text: escape(line, 60) }),
            }
        }
        Ok(known)
    }

    /// Adds one public key for these names.
    pub fn add(&mut self, names: &str, key: &str) -> Result<(), KnownKeysError> {
        let key = PublicKey::from_openssh(key.trim());
        let key = key.map_err(|error| KnownKeysError::Key { text: escape(&error.to_string(), 60) })?;
        let names = names.split(',').map(str::to_owned).collect();
        self.keys.push(Known { names, namespaces: None, revoked: false, key: key.key_data().clone() });
        Ok(())
    }

    pub fn extend(&mut self, others: Self) {
        self.keys.extend(others.keys);
        self.left_out.extend(others.left_out);
    }

    /// The names that this key is known by, for this purpose, if `name` is among them (any, if there is none).
    ///
    /// # Errors
    /// Why nobody vouches for it, for people.
    pub fn who(&self, key: &PublicKey, namespace: &str, name: Option<&str>) -> Result<String, String> {
        let of_key: Vec<&Known> = self.keys.iter().filter(|known| known.key == *key.key_data()).collect();
        if of_key.iter().any(|known| known.revoked) {
            return Err("it is revoked".to_owned());
        }
        let serves = |known: &&&Known| {
            known.namespaces.as_ref().is_none_or(|list| matches_list(list, namespace))
                && name.is_none_or(|name| matches_list(&known.names, name))
        };
        match (of_key.iter().find(serves), of_key.first()) {
            (Some(known), _) => Ok(known.names.join(",")),
            (None, Some(other)) => Err(format!(
                "it is known as {}, {}",
                escape(&other.names.join(","), 100),
                match name {
                    Some(name) if !matches_list(&other.names, name) => format!("not as {name}"),
                    _ => format!("and not for {namespace}"),
                }
            )),
            (None, None) => Err(match self.left_out.first() {
                Some(line) => format!("it is not among the known keys ({line})"),
                None => "it is not among the known keys".to_owned(),
            }),
        }
    }
}

/// As ssh has it: one `!` that fits takes the whole list back.
fn matches_list(patterns: &[String], name: &str) -> bool {
    let denied = patterns.iter().filter_map(|one| one.strip_prefix('!')).any(|one| matches(one, name));
    !denied && patterns.iter().any(|one| matches(one, name))
}

fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    // Of the last star: where it stands, and how much of the name it has eaten.
    let (mut at, mut of, mut star) = (0, 0, None);
    while of < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, of));
                at += 1;
            }
            Some(one) if *one == '?' || *one == name[of] => (at, of) = (at + 1, of + 1),
            _ => match star {
                Some((stood, eaten)) => {
                    star = Some((stood, eaten + 1));
                    (at, of) = (stood + 1, eaten + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|one| *one == '*')
}

/// None: there is no key in it. An error: it says more than is understood.
fn parse_line(line: &str) -> Option<Result<Known, String>> {
    let mut words = words(line);
    let mut revoked = false;
    if words.first().is_some_and(|word| word.starts_with('@')) {
        match words.remove(0).as_str() {
            "@revoked" => revoked = true,
            other => return Some(Err(format!("`{}` is not understood", escape(other, 40)))),
        }
    }
    let at = words.iter().position(|word| is_kind(word))?;
    let text = format!("{} {}", words[at], words.get(at + 1)?);
    let key = PublicKey::from_openssh(&text).ok()?.key_data().clone();
    let names = match at {
        // A bare public key, as in ssh_host_ed25519_key.pub.
        0 => vec![ONE_KEY.to_owned()],
        _ => words[0].split(',').map(|name| bare(name).to_owned()).collect(),
    };
    if names.iter().any(|name| name.starts_with('|')) {
        return Some(Err("its name is hashed, and cannot be read".to_owned()));
    }
    let mut namespaces = None;
    for option in words.get(1..at).unwrap_or_default().iter().flat_map(|word| options(word)) {
        match option.split_once('=') {
            Some(("namespaces", list)) => {
                namespaces = Some(list.trim_matches('"').split(',').map(str::to_owned).collect());
            }
            _ => return Some(Err(format!("the option `{}` is not understood", escape(&option, 40)))),
        }
    }
    Some(Ok(Known { names, namespaces, revoked, key }))
}

/// `[name]:port` of known_hosts without its port.
fn bare(name: &str) -> &str {
    name.strip_prefix('[').and_then(|rest| rest.split_once("]:")).map_or(name, |(name, _)| name)
}

fn is_kind(word: &str) -> bool {
    word.starts_with("ssh-") || word.starts_with("ecdsa-sha2-") || word.starts_with("sk-")
}

/// Words between blanks; blanks in quotes belong to a word.
fn words(line: &str) -> Vec<String> {
    split_unquoted(line, char::is_whitespace)
}

fn options(word: &str) -> Vec<String> {
    split_unquoted(word, |one| one == ',')
}

fn split_unquoted(text: &str, is_end: impl Fn(char) -> bool) -> Vec<String> {
    let (mut parts, mut part, mut quoted) = (Vec::new(), String::new(), false);
    for one in text.chars() {
        quoted ^= one == '"';
        if is_end(one) && !quoted {
            parts.push(std::mem::take(&mut part));
        } else {
            part.push(one);
        }
    }
    parts.push(part);
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMbnVR5UlCCDdIH2mGGmDcaERQLPBaDYg5jnuH6K8W0j";
    const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIojiHuOlLcJbLzEZLDyiUvphdRkxeHKGWHoqG0DwoJB";

    #[test]
    fn lines_vouch_for_whom_they_name_and_for_nobody_else() {
        let key = PublicKey::from_openssh(KEY).unwrap();
        for (line, name, namespace, is_known) in [
            (format!("web-01 {KEY}"), "web-01", "a", true),
            (format!("web-01 {KEY} a comment"), "web-01", "a", true),
            (format!("web-01,10.0.0.1 {KEY}"), "10.0.0.1", "a", true),
            (format!("[web-01]:2222 {KEY}"), "web-01", "a", true),
            (format!("web-* {KEY}"), "web-01", "a", true),
            (format!("web-*,!web-01 {KEY}"), "web-01", "a", false),
            (format!("web-0? {KEY}"), "web-011", "a", false),
            (format!("web-02 {KEY}"), "web-01", "a", false),
            (KEY.to_owned(), "web-01", "a", true),
            (format!("web-01 namespaces=\"a,b\" {KEY}"), "web-01", "b", true),
            (format!("web-01 namespaces=\"a,b\" {KEY}"), "web-01", "c", false),
            (format!("web-01 cert-authority {KEY}"), "web-01", "a", false),
            (format!("web-01 valid-before=\"20300101\" {KEY}"), "web-01", "a", false),
            (format!("|1|c2FsdA==|aGFzaA== {KEY}"), "web-01", "a", false),
            (format!("@revoked web-01 {KEY}\nweb-01 {KEY}"), "web-01", "a", false),
            (format!("@cert-authority web-01 {KEY}"), "web-01", "a", false),
            (format!("# web-01\n\nweb-01 {OTHER}"), "web-01", "a", false),
        ] {
            let known = KnownKeys::parse(&line).unwrap();
            let said = known.who(&key, namespace, Some(name));
            assert_eq!(said.is_ok(), is_known, "{line}: {said:?}");
        }
    }

    #[test]
    fn what_is_no_key_is_an_error_with_its_line() {
        for (text, line) in [("x", 1), ("\n# a\nweb-01 ssh-ed25519", 3), ("web-01 ssh-ed25519 AAAA", 1)] {
            let error = KnownKeys::parse(text).unwrap_err();
            assert!(matches!(&error, KnownKeysError::Line { line: found, .. } if *found == line), "{error}");
        }
        assert!(KnownKeys::default().add("a", "ssh-ed25519 A").is_err());
    }

    #[test]
    fn one_key_stands_for_any_name() {
        let mut known = KnownKeys::default();
        known.add(ONE_KEY, KEY).unwrap();
        let key = PublicKey::from_openssh(KEY).unwrap();
        assert_eq!(known.who(&key, "a", Some("web-01")), Ok("*".to_owned()));
        assert!(known.who(&PublicKey::from_openssh(OTHER).unwrap(), "a", None).is_err());
    }
}
