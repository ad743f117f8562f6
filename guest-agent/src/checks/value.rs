//! Values that the keys of several kinds share, and how lists of names are told.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Names that a reason shows.
const SHOWN: usize = 5;

/// One text or a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OneOrMore(Vec<String>);

impl OneOrMore {
    pub(super) fn as_slice(&self) -> &[String] {
        &self.0
    }
}

/// By hand: what serde derives for an untagged enum costs the static binary more than a whole kind.
impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = Vec<String>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E>(self, text: &str) -> Result<Vec<String>, E> {
                Ok(vec![text.to_owned()])
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = list.next_element()? {
                    texts.push(text);
                }
                Ok(texts)
            }
        }
        deserializer.deserialize_any(Texts).map(Self)
    }
}

/// An absolute path.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct AbsolutePath(pub(super) String);

impl TryFrom<String> for AbsolutePath {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if text.starts_with('/') && !text.contains('\0') {
            return Ok(Self(text));
        }
        Err(format!("`{}` is no absolute path", firstlight_shared::text::escape(&text, 100)))
    }
}

/// 32 bytes in hexadecimal, with colons or without.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Sha256Text(pub(super) String);

impl TryFrom<String> for Sha256Text {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let plain: String = text.chars().filter(|c| *c != ':').collect::<String>().to_ascii_lowercase();
        if plain.len() == 64 && plain.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Self(plain));
        }
        Err(format!(
            "`{}` is no SHA-256: 64 hexadecimal digits are wanted",
            firstlight_shared::text::escape(&text, 100)
        ))
    }
}

/// Whether a text matches a pattern in which `*` stands for any characters and `?` for one.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    // Columns of the usual table: which ends of the text the pattern's beginning can match.
    let mut ends = vec![false; text.len() + 1];
    ends[0] = true;
    for wanted in pattern {
        if wanted == '*' {
            let first = ends.iter().position(|end| *end).unwrap_or(ends.len());
            ends[first..].fill(true);
            continue;
        }
        for at in (0..ends.len()).rev() {
            ends[at] = at > 0 && ends[at - 1] && (wanted == '?' || wanted == text[at - 1]);
        }
    }
    ends.last().copied().unwrap_or(false)
}

/// Some of the names, and how many more there are.
pub(super) fn names(all: &[String]) -> String {
    let shown = all.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if all.len() > SHOWN { format!("{shown} and {} more", all.len() - SHOWN) } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_texts() {
        for (pattern, text, expected) in [
            ("web@*.service", "web@1.service", true),
            ("web@*.service", "web@.service", true),
            ("web@*.service", "web@1.service.d", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("**a*b", "xxaxb", true),
            ("*a*b*c", "abab", false),
            ("web", "web2", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
