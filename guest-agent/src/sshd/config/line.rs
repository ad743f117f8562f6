//! One line of sshd_config: keyword and arguments, split as strdelim and argv_split of OpenSSH's misc.c split.

use super::Listen;

const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

/// The lines as load_server_config keeps them: without leading blanks, cut at a NUL, which joins the next line.
pub(super) fn lines(bytes: &[u8]) -> Vec<String> {
    let mut text = String::new();
    for raw in bytes.split_inclusive(|byte| *byte == b'\n') {
        let blanks = raw.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).count();
        let kept = raw[blanks..].split(|byte| *byte == 0).next().unwrap_or_default();
        text.push_str(&String::from_utf8_lossy(kept));
    }
    text.split('\n').map(str::to_owned).collect()
}

/// The keyword in lower case, and its arguments. None for an empty line or a comment.
///
/// # Errors
/// Why sshd refuses the line.
pub(super) fn parse(line: &str) -> Result<Option<(String, Vec<String>)>, String> {
    // The first byte is never stripped: a lone form feed is a keyword to sshd.
    let first = line.chars().next().map_or(0, char::len_utf8);
    let stripped = line[first..].trim_end_matches([' ', '\t', '\r', '\n', '\x0c']);
    let line = &line[..first + stripped.len()];
    let Some(mut first) = delimited(line) else { return Ok(None) };
    if first.0.is_empty() {
        match first.1.map(delimited) {
            Some(Some(next)) => first = next,
            _ => return Ok(None),
        }
    }
    let (keyword, rest) = first;
    if keyword.is_empty() || keyword.starts_with('#') {
        return Ok(None);
    }
    let rest = rest.filter(|rest| !rest.is_empty());
    let rest = rest.ok_or_else(|| "no argument after the keyword".to_owned())?;
    Ok(Some((keyword.to_ascii_lowercase(), arguments(rest)?)))
}

/// The first token and what follows it; none if its quotes do not close.
fn delimited(text: &str) -> Option<(String, Option<&str>)> {
    let is_delimiter = |c: char| BLANKS.contains(&c) || c == '"' || c == '=';
    let Some(end) = text.find(is_delimiter) else { return Some((text.to_owned(), None)) };
    let (token, after) = (&text[..end], &text[end + 1..]);
    if text[end..].starts_with('"') {
        let (quoted, rest) = after.split_once('"')?;
        return Some((format!("{token}{quoted}"), Some(rest.trim_start_matches(BLANKS))));
    }
    let mut rest = after.trim_start_matches(BLANKS);
    // Only one `=` is skipped.
    if !text[end..].starts_with('=')
        && let Some(value) = rest.strip_prefix('=')
    {
        rest = value.trim_start_matches(BLANKS);
    }
    Some((token.to_owned(), Some(rest)))
}

fn arguments(text: &str) -> Result<Vec<String>, String> {
    let mut arguments = Vec::new();
    let mut rest = text.chars().peekable();
    loop {
        while rest.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
        if rest.peek().is_none_or(|c| *c == '#') {
            return Ok(arguments);
        }
        let mut argument = String::new();
        let mut quote = None;
        while let Some(c) = rest.next() {
            match (c, quote) {
                ('\\', _) => {
                    let escaped =
                        |next: &char| matches!(next, '\'' | '"' | '\\') || (quote.is_none() && *next == ' ');
                    argument.push(rest.next_if(escaped).unwrap_or('\\'));
                }
                (' ' | '\t', None) => break,
                ('"' | '\'', None) => quote = Some(c),
                (c, Some(open)) if c == open => quote = None,
                _ => argument.push(c),
            }
        }
        if quote.is_some() {
            return Err("quotes do not close".to_owned());
        }
        arguments.push(argument);
    }
}

/// As a2port: a number as strtonum(3) takes it, or a service by name, of which only one is known here.
///
/// # Errors
/// No such port.
pub(super) fn port(text: &str) -> Result<u16, String> {
    let number = text.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    let digits = number.strip_prefix('+').unwrap_or(number);
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse::<u16>() {
        Ok(port @ 1..) if plain => Ok(port),
        _ if text == "ssh" => Ok(super::DEFAULT_PORT),
        _ => Err(format!("`{}` is no port", firstlight_shared::text::escape(text, 40))),
    }
}

/// # Errors
/// Not `ADDRESS`, `ADDRESS:PORT` or `[ADDRESS]:PORT`.
pub(super) fn listen(text: &str) -> Result<Listen, String> {
    let bare_v6 = !text.contains('[') && text.matches(':').count() >= 2;
    if bare_v6 {
        return Ok(Listen { host: text.to_owned(), port: None });
    }
    let wrong = || format!("`{}` is no address", firstlight_shared::text::escape(text, 60));
    let (host, after) = match text.strip_prefix('[') {
        Some(inside) => inside.split_once(']').ok_or_else(wrong)?,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port = match after {
        "" => None,
        _ => Some(port(after.strip_prefix(':').ok_or_else(wrong)?)?),
    };
    Ok(Listen { host: host.to_owned(), port })
}
