//! What every page promises: whole HTML, nothing inline, nothing from elsewhere, each id once, the headers that hold a
//! browser to it.

use std::collections::BTreeSet;

use crate::browser::header;
use crate::client::Answer;

const VOID: [&str; 6] = ["meta", "link", "img", "input", "br", "hr"];
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

#[track_caller]
pub(crate) fn hold(path: &str, answer: &Answer) {
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(header(answer, name), value, "{path}");
    }
    if let Err(what) = whole(&answer.body) {
        panic!("{path}: {what}\n{}", answer.body);
    }
}

/// Walks over all tags. Err: what is wrong with one.
pub(crate) fn whole(page: &str) -> Result<(), String> {
    let mut rest = page.strip_prefix("<!DOCTYPE html>").ok_or("there is no doctype")?;
    let (mut open, mut ids): (Vec<&str>, BTreeSet<&str>) = (Vec::new(), BTreeSet::new());
    while let Some((text, tail)) = rest.split_once('<') {
        if text.contains('>') {
            return Err(format!("a `>` in text: {text}"));
        }
        let (tag, tail) = tail.split_once('>').ok_or("a tag has no end")?;
        rest = tail;
        if let Some(name) = tag.strip_prefix('/') {
            let last = open.pop();
            if last != Some(name) {
                return Err(format!("</{name}> closes {last:?}"));
            }
            continue;
        }
        let name = tag.split([' ', '\n', '/']).next().unwrap_or_default();
        attributes(name, &tag[name.len()..], &mut ids)?;
        if !VOID.contains(&name) && !tag.ends_with('/') {
            open.push(name);
        }
    }
    if rest.contains('>') || !open.is_empty() { Err(format!("left open: {open:?}")) } else { Ok(()) }
}

fn attributes<'a>(tag: &str, text: &'a str, ids: &mut BTreeSet<&'a str>) -> Result<(), String> {
    let mut rest = text.trim_end_matches('/').trim();
    while !rest.is_empty() {
        let end = rest.find([' ', '=', '\n']).unwrap_or(rest.len());
        let (name, tail) = rest.split_at(end);
        if name == "style" || name.starts_with("on") {
            return Err(format!("<{tag} {name}> is inline"));
        }
        let Some(quoted) = tail.strip_prefix("=\"") else {
            if tail.starts_with('=') {
                return Err(format!("<{tag} {name}> is not quoted"));
            }
            rest = tail.trim_start();
            continue;
        };
        let (value, tail) = quoted.split_once('"').ok_or(format!("<{tag} {name}> has no end"))?;
        if name == "id" && !ids.insert(value) {
            return Err(format!("the id {value} is there twice"));
        }
        let leads = ["href", "src", "action"].contains(&name);
        if leads
            && !(value.is_empty()
                || value.starts_with('#')
                || (value.starts_with('/') && !value.starts_with("//")))
        {
            return Err(format!("<{tag} {name}=\"{value}\"> leads elsewhere"));
        }
        rest = tail.trim_start();
    }
    if tag == "script" && !text.contains("src=") { Err("an inline script".to_owned()) } else { Ok(()) }
}

#[test]
fn what_is_not_whole_is_found() {
    for (page, fine) in [
        ("<!DOCTYPE html><p id=\"a\">x <br> y</p>", true),
        ("<!DOCTYPE html><svg viewBox=\"0 0 1 1\"><path d=\"M0\"/></svg>", true),
        ("<p>x</p>", false),
        ("<!DOCTYPE html><p>x", false),
        ("<!DOCTYPE html><p><b>x</p></b>", false),
        ("<!DOCTYPE html><p style=\"color:red\">x</p>", false),
        ("<!DOCTYPE html><p onclick=\"x\">x</p>", false),
        ("<!DOCTYPE html><p id=\"a\"></p><p id=\"a\"></p>", false),
        ("<!DOCTYPE html><script>x</script>", false),
        ("<!DOCTYPE html><a href=\"https://evil.example\">x</a>", false),
        ("<!DOCTYPE html><a href=x>x</a>", false),
        ("<!DOCTYPE html><p>a > b</p>", false),
    ] {
        assert_eq!(whole(page).is_ok(), fine, "{page}");
    }
}
