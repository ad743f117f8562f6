//! Text from a guest, made safe to show. A guest is hostile until proven.

/// Replaces control characters, bidirectional marks and line separators by `\u{..}` escapes and cuts after
/// `limit` characters, so that no guest can move a cursor, colour a line or reverse its reading order.
pub fn escape(text: &str, limit: usize) -> String {
    let mut out = String::with_capacity(text.len().min(limit));
    for (count, c) in text.chars().enumerate() {
        if count == limit {
            out.push('…');
            break;
        }
        if is_dangerous(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

/// A JSON document that says the same, with what [`escape`] would replace as JSON's own `\uXXXX`: in a document as
/// serializers write it such characters, but for line ends, stand in strings only.
pub fn escape_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if is_dangerous(c) && c != '\n' {
            let units =
                c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
            out.push_str(&units);
        } else {
            out.push(c);
        }
    }
    out
}

fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{61c}')
        || matches!(c, '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_survives() {
        for (text, shown) in [
            ("web-01", "web-01"),
            ("\x1b[31mred", "\\u{1b}[31mred"),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("line\nbreak", "line\\u{a}break"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("Müller", "Müller"),
        ] {
            assert_eq!(escape(text, 100), shown);
        }
        assert_eq!(escape("abcdef", 3), "abc…");
    }

    #[test]
    fn json_says_the_same_and_steers_nothing() {
        for (json, shown) in [
            ("{\n  \"a\": \"Müller\"\n}", "{\n  \"a\": \"Müller\"\n}"),
            ("\"a\u{202e}b\u{9b}31m\"", "\"a\\u202eb\\u009b31m\""),
            ("\"\u{e0041}\"", "\"\\udb40\\udc41\""),
        ] {
            assert_eq!(escape_json(json), shown);
        }
    }
}
