//! How much a number in words is, and which ones a piece of code has.

use super::prose::{in_digits, numbers};

/// In milliseconds, or bytes.
const UNITS: [(&str, f64); 19] = [
    ("ms", 1.0),
    ("s", 1e3),
    ("second", 1e3),
    ("seconds", 1e3),
    ("m", 6e4),
    ("min", 6e4),
    ("minute", 6e4),
    ("minutes", 6e4),
    ("h", 3.6e6),
    ("hour", 3.6e6),
    ("hours", 3.6e6),
    ("d", 8.64e7),
    ("day", 8.64e7),
    ("days", 8.64e7),
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("MB", 1e6),
    ("GB", 1e9),
];
const SPELLED: [(&str, f64); 18] = [
    ("half", 0.5),
    ("quarter", 0.25),
    ("two", 2.0),
    ("three", 3.0),
    ("four", 4.0),
    ("five", 5.0),
    ("six", 6.0),
    ("seven", 7.0),
    ("eight", 8.0),
    ("nine", 9.0),
    ("ten", 10.0),
    ("twelve", 12.0),
    ("twenty", 20.0),
    ("twentieth", 20.0),
    ("thirty", 30.0),
    ("hundred", 100.0),
    ("thousand", 1000.0),
    ("million", 1e6),
];

#[derive(Debug, PartialEq)]
pub(super) struct Amount {
    pub(super) text: String,
    /// As it stands, and by its unit.
    of: [f64; 2],
}

impl Amount {
    pub(super) fn is(&self, value: f64) -> bool {
        self.of.iter().any(|of| (of - value).abs() <= 1e-9 * value.abs().max(1.0))
    }
}

fn known(table: &[(&str, f64)], word: &str) -> Option<f64> {
    table.iter().find(|(known, _)| *known == word).map(|(_, much)| *much)
}

fn bare(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_alphanumeric())
}

/// Of words on one line: numbers in digits, with the word behind each; then all that are spelled.
pub(super) fn amounts(words: &str) -> Vec<Amount> {
    let unit = |word: &str| known(&UNITS, bare(word)).unwrap_or(1.0);
    let of_digits = in_digits(words).into_iter().map(|range| {
        let text = &words[range.clone()];
        let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (digits, short) = text.split_at(end);
        let next = words[range.end..].strip_prefix(' ').unwrap_or_default();
        let unit = if short.is_empty() {
            unit(next.split([' ', ',', ';', ')']).next().unwrap_or_default())
        } else {
            unit(short)
        };
        let much: f64 = digits.replace(',', "").parse().unwrap_or(f64::NAN);
        Amount { text: text.to_owned(), of: [much, much * unit] }
    });
    let of_times = numbers(words)
        .into_iter()
        .map(|range| &words[range])
        .filter(|text| !text.starts_with(|c: char| c.is_ascii_digit()));
    let of_times = of_times.map(|text| {
        let much =
            text.split(' ').next().and_then(|word| known(&SPELLED, &word.to_lowercase())).unwrap_or(f64::NAN);
        Amount {
            text: text.to_owned(),
            of: [much, much * unit(text.split(' ').next_back().unwrap_or_default())],
        }
    });
    let found: Vec<Amount> = of_digits.chain(of_times).collect();
    if !found.is_empty() {
        return found;
    }
    let spelled =
        words.split(' ').filter_map(|word| Some((bare(word), known(&SPELLED, &bare(word).to_lowercase())?)));
    spelled.map(|(word, much)| Amount { text: word.to_owned(), of: [much; 2] }).collect()
}

/// What numbers of a piece of code may mean: products and shifts as they come out, in milliseconds too.
pub(super) fn values(code: &str) -> Vec<f64> {
    let mut found = Vec::new();
    let mut rest = code;
    let mut before = ' ';
    while let Some(c) = rest.chars().next() {
        if !c.is_ascii_digit() || before.is_alphanumeric() || before == '_' {
            before = c;
            rest = &rest[c.len_utf8()..];
            continue;
        }
        let (mut much, mut behind) = number(rest);
        while let Some((shifts, by, end)) = factor(behind) {
            much = if shifts { much * by.exp2() } else { much * by };
            behind = end;
        }
        let unit = behind.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
        found.extend([much, much * 1e3, much * known(&UNITS, unit).unwrap_or(1.0)]);
        (rest, before) = (behind, '0');
    }
    found
}

fn number(text: &str) -> (f64, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '_' | '.')).unwrap_or(text.len());
    // A range, or the end of a sentence.
    let end = text[..end].find("..").unwrap_or(end);
    (text[..end].replace('_', "").trim_end_matches('.').parse().unwrap_or(f64::NAN), &text[end..])
}

/// Whether it shifts, by how much, and what is behind it.
fn factor(text: &str) -> Option<(bool, f64, &str)> {
    let text = text.trim_start();
    let (shifts, rest) = match text.strip_prefix("<<") {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('*')?),
    };
    let rest = rest.trim_start();
    rest.starts_with(|c: char| c.is_ascii_digit())
        .then(|| number(rest))
        .map(|(much, rest)| (shifts, much, rest))
}

#[test]
fn words_and_code_are_compared_by_their_units() {
    for (words, code) in [
        ("24 MiB", "24 << 20"),
        ("256 KiB at most", "const MOST: u64 = 256 * 1024;"),
        ("within 0.2 s", "from_millis(200)"),
        ("15 s for a question, 40 s for a change", "read: from_secs(15), change: from_secs(40)"),
        ("12 hours", "Duration::from_secs(12 * 3600)"),
        ("90 days", "Some(\"90d\")"),
        ("half an hour", "from_secs(30 * 60)"),
        ("a quarter of an hour", "OnUnitInactiveSec=15min"),
        ("twenty times", "20"),
        ("the newest 10,000", "i64 = 10_000;"),
        ("10s, at most 10m", "from_secs(10); from_secs(600);"),
        ("2 to 40 letters", "(2..=40).contains"),
        ("four at a time", "= 4;"),
    ] {
        let (told, held) = (amounts(words), values(code));
        assert!(
            !told.is_empty() && told.iter().all(|amount| held.iter().any(|value| amount.is(*value))),
            "{words}: {told:?} {held:?}"
        );
    }
    for (words, code) in [
        ("24 MiB", "25 << 20"),
        ("64", "const A: u64 = 8;"),
        ("5 s", "from_millis(500)"),
        ("half an hour", "from_secs(30)"),
    ] {
        let (told, held) = (amounts(words), values(code));
        assert!(
            !told.iter().any(|amount| held.iter().any(|value| amount.is(*value))),
            "{words}: {told:?} {held:?}"
        );
    }
}
