//! What a page tells, and the numbers in it.

use std::ops::Range;

/// Behind a number, as part of its word.
const SHORT_UNITS: [&str; 9] = ["ms", "s", "m", "h", "d", "K", "M", "G", "T"];
const SPELLED: [&str; 17] = [
    "half", "quarter", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve",
    "twenty", "thirty", "hundred", "thousand", "million",
];
/// Of spelled numbers, those of these are looked at.
const COUNTED: [&str; 5] = ["second", "minute", "hour", "day", "time"];

/// With one space between words, and no marks of tables and weight.
pub(super) fn one_line(text: &str) -> String {
    let plain = text.replace('|', " ").replace("**", "");
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Without code, but with its remarks; links without what they lead to.
pub(super) fn prose(page: &str) -> String {
    told(page, None)
}

/// The same without what is below these headings, and without tables of exit codes.
pub(super) fn without(page: &str, headings: &[&str]) -> String {
    told(page, Some(headings))
}

fn told(page: &str, headings: Option<&[&str]>) -> String {
    let (mut in_code, mut left_out, mut in_exits) = (false, false, false);
    let mut told = Vec::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if in_code {
            told.extend(line.split_once("# ").map(|(_, remark)| remark.to_owned()).filter(|_| !left_out));
        } else {
            if line.starts_with('#') {
                let heading = line.trim_start_matches('#').trim();
                left_out = headings.is_some_and(|headings| headings.contains(&heading));
            }
            in_exits = line.starts_with("| exit code |") || (in_exits && line.starts_with('|'));
            let is_exit = in_exits && headings.is_some();
            if !left_out && !is_exit {
                told.push(without_targets(without_number(line)));
            }
        }
    }
    one_line(&told.join("\n"))
}

/// Of an item of a list.
fn without_number(line: &str) -> &str {
    let rest = line.trim_start();
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if digits > 0 { rest[digits..].strip_prefix(". ").unwrap_or(line) } else { line }
}

fn without_targets(line: &str) -> String {
    let mut parts = line.split("](");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push(']');
        plain.push_str(part.split_once(')').map_or("", |(_, rest)| rest));
    }
    plain
}

/// With something that is no number in the place of each span of code.
fn masked(told: &str) -> String {
    let mut inside = false;
    let spans = told.split_inclusive('`').map(|part| {
        let masked = if inside {
            part.chars().map(|c| if c == '`' { "`".to_owned() } else { "_".repeat(c.len_utf8()) }).collect()
        } else {
            part.to_owned()
        };
        inside = !inside;
        masked
    });
    spans.collect()
}

/// Where numbers stand outside of spans of code, in digits or, of times, spelled.
pub(super) fn numbers(told: &str) -> Vec<Range<usize>> {
    let masked = masked(told);
    let mut found = in_digits(&masked);
    found.extend(spelled(&masked));
    found.sort_by_key(|range| range.start);
    found
}

/// Not: part of a name or a version behind a letter (`SHA-256`, `IPv6`), and addresses of IPv4.
pub(super) fn in_digits(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let before = at.checked_sub(1).map_or(b' ', |before| bytes[before]);
        let begins = bytes[at].is_ascii_digit() && !is_name(before) && !b".,/#:-".contains(&before);
        if !begins {
            at += 1;
            continue;
        }
        let digits = digits(&text[at..]);
        let rest = &text[at + digits..];
        let word = rest.bytes().take_while(|byte| is_name(*byte)).count();
        let unit = if SHORT_UNITS.contains(&&rest[..word]) { word } else { 0 };
        let end = at + digits + unit;
        let goes_on = bytes.get(end).is_some_and(|next| is_name(*next) || *next == b'-');
        if !goes_on && text[at..end].matches('.').count() < 3 {
            found.push(at..end);
        }
        at = end;
    }
    found
}

/// How long the number at the beginning is: `10,000`, `1.95.0`.
fn digits(text: &str) -> usize {
    let bytes = text.as_bytes();
    let run = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut end = run(0);
    loop {
        let next = bytes.get(end).copied().unwrap_or_default();
        let more = if matches!(next, b',' | b'.') { run(end + 1) } else { 0 };
        if more == 0 || (next == b',' && more != 3) {
            return end;
        }
        end += 1 + more;
    }
}

/// `half an hour`, `two minutes`, `quarter of an hour`.
fn spelled(text: &str) -> Vec<Range<usize>> {
    let is_word = |c: char| c.is_ascii_alphabetic();
    let mut words = Vec::new();
    let mut at = 0;
    for word in text.split(' ') {
        let start = at + (word.len() - word.trim_start_matches(|c| !is_word(c)).len());
        let bare = word.trim_matches(|c| !is_word(c));
        words.push((bare.to_lowercase(), start..start + bare.len()));
        at += word.len() + 1;
    }
    let mut found = Vec::new();
    for (index, (word, range)) in words.iter().enumerate() {
        if !SPELLED.contains(&word.as_str()) {
            continue;
        }
        let mut more = words[index + 1..].iter();
        let next = more.find(|(word, _)| !["of", "a", "an", "hundred", "thousand"].contains(&word.as_str()));
        let counted = next.filter(|(word, _)| COUNTED.contains(&word.trim_end_matches('s')));
        found.extend(counted.map(|(_, last)| range.start..last.end));
    }
    found
}

/// A number with the words beside it.
pub(super) fn around(told: &str, number: &Range<usize>) -> String {
    let before = told[..number.start].char_indices().rev().take(50).last().map_or(0, |(at, _)| at);
    let behind = told[number.end..].chars().take(40).collect::<String>();
    format!("… {}{behind} …", &told[before..number.end])
}

#[test]
fn numbers_are_found_in_prose_and_remarks_and_not_in_code() {
    let page = "1. In [5 s](a.md#7), or `9 s`; IPv6, SHA-256 and 10.0.0.1 are none.\n\n```toml\na = \"3s\"   # at most 6h\n```\n\
                | 10,000 guests | **half an hour** |\n\n## Old\n12\n\n| exit code | a |\n|---|---|\n| 4 | b |\n";
    let told = without(page, &["Old"]);
    let found: Vec<&str> = numbers(&told).into_iter().map(|range| &told[range]).collect();
    assert_eq!(found, ["5", "6h", "10,000", "half an hour"]);
    assert!(around(&told, &numbers(&told)[0]).contains("In [5 s]"));
    // What is not left out is all there.
    assert!(prose(page).ends_with("## Old 12 exit code a --- --- 4 b"));
}
