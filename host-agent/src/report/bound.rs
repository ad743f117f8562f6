//! How much of a guest's word a page shows: texts are escaped and cut, lists are cut and say so.

use firstlight_shared::text::escape;

/// Of names, kinds, fingerprints.
const WORD: usize = 80;
/// Of reasons and messages.
const LINE: usize = 400;
/// Of a public key: RSA with 8192 bits fits.
const KEY: usize = 1500;
/// A guest that tells of a longer time is not believed: thirty days in milliseconds.
const LONGEST_MS: u64 = 30 * 24 * 3600 * 1000;

pub(super) fn word(text: &str) -> String {
    escape(text, WORD)
}

pub(super) fn line(text: &str) -> String {
    escape(text, LINE)
}

pub(super) fn key(text: &str) -> String {
    escape(text, KEY)
}

/// A time that a guest tells, in milliseconds.
pub(super) fn time(ms: u64) -> u64 {
    ms.min(LONGEST_MS)
}

/// Counts what lists left out, for the page's end.
#[derive(Debug, Default)]
pub(super) struct Cuts(Vec<String>);

impl Cuts {
    /// The first `limit` of them; what is left out is remembered under this name.
    pub(super) fn first<'a, T>(&mut self, what: &str, all: &'a [T], limit: usize) -> &'a [T] {
        if all.len() > limit {
            self.0.push(format!("{} more {what}", all.len() - limit));
        }
        &all[..all.len().min(limit)]
    }

    pub(super) fn told(self) -> Vec<String> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_counted() {
        let mut cuts = Cuts::default();
        assert_eq!(cuts.first("checks", &[1, 2, 3], 2), [1, 2]);
        assert_eq!(cuts.first("keys", &[1], 2), [1]);
        assert_eq!(cuts.told(), ["1 more checks"]);
        assert_eq!(line(&"x".repeat(1 << 20)).chars().count(), LINE + 1);
        assert_eq!(time(u64::MAX), LONGEST_MS);
    }
}
