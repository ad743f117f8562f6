//! Sizes that the docs tell of what is built, held to what was built.

use crate::paths;

/// The size that follows these words, in bytes. Pages tell it in decimal megabytes: `3.54 MB`.
fn size(page: &str, words: &str) -> Option<u64> {
    let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
    let (_, behind) = page.split_once(words)?;
    let (number, _) = behind.trim_start().split_once(" MB")?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let part: u64 = format!("{part:0<6}").parse().ok()?;
    Some(whole.parse::<u64>().ok()? * 1_000_000 + part)
}

/// That the page's size is this one, or not so many hundredths of it away.
///
/// # Panics
/// It is further away, or there is no such page, or it tells no size behind the words.
pub fn assert_size(page: &str, words: &str, bytes: u64, hundredths: u64) {
    let text = std::fs::read_to_string(paths::root().join(page));
    let text = text.unwrap_or_else(|error| panic!("{page}: {error}"));
    let told = size(&text, words).unwrap_or_else(|| panic!("{page} tells no size behind `{words}`"));
    assert!(
        bytes.abs_diff(told) * 100 <= told * hundredths,
        "{bytes} bytes, and {page} says {told}: more than {hundredths} % away; write there what it is, and why"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_read_behind_its_words() {
        for (page, told) in [
            ("It has a size of\n3.54 MB, stripped.", Some(3_540_000)),
            ("a size of 146 MB", Some(146_000_000)),
            ("a size of some 3 MB", None),
            ("a size of 3.54 KB", None),
            ("3.54 MB", None),
        ] {
            assert_eq!(size(page, "size of"), told, "{page}");
        }
    }
}
