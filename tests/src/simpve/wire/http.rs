//! HTTP/1.1 as the real daemon speaks it, oddities included: what it refuses before the API, and how answers look.

use std::time::SystemTime;

use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::super::answer::{Answer, Body};
use super::super::call::{Method, Parameters};

/// More than this in a body is refused before it is read.
const LARGEST_BODY: usize = 512 * 1024;
const LARGEST_HEAD: usize = 64 * 1024;

/// A request's head, as far as the daemon looks at it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) method: String,
    /// With the query.
    pub(super) target: String,
    pub(super) authorization: Option<String>,
    content_type: String,
    pub(super) length: usize,
    chunked: bool,
    pub(super) close: bool,
}

/// A head and where it ends; none if more bytes are needed.
pub(super) fn parse_head(bytes: &[u8]) -> Result<Option<(Head, usize)>, Answer> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let end = match request.parse(bytes) {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) if bytes.len() < LARGEST_HEAD => return Ok(None),
        _ => return Err(Answer::plain(400, "bad request")),
    };
    let mut head = Head {
        method: request.method.unwrap_or_default().to_owned(),
        target: request.path.unwrap_or_default().to_owned(),
        ..Head::default()
    };
    for header in request.headers.iter() {
        let value = String::from_utf8_lossy(header.value).trim().to_owned();
        match header.name.to_ascii_lowercase().as_str() {
            "authorization" => head.authorization = Some(decode(&value)),
            "content-type" => head.content_type = value,
            "content-length" => head.length = value.parse().unwrap_or(0),
            "transfer-encoding" => head.chunked = value.to_ascii_lowercase().contains("chunked"),
            "connection" => head.close |= value.to_ascii_lowercase().contains("close"),
            _ => {}
        }
    }
    Ok(Some((head, end)))
}

/// What is refused before the body is read.
pub(super) fn refuse(head: &Head) -> Result<Method, Answer> {
    let Some(method) = Method::parse(&head.method) else {
        return Err(Answer::plain(501, &format!("method '{}' not available", head.method)));
    };
    if head.chunked {
        return Err(Answer::plain(501, "chunked transfer encoding not supported"));
    }
    if head.length > LARGEST_BODY {
        return Err(Answer::plain(501, "for data too large"));
    }
    let may_have_content = matches!(method, Method::Post | Method::Put);
    if head.length > 0 && !may_have_content {
        return Err(Answer::plain(501, &format!("Unexpected content for method '{}'", method.as_str())));
    }
    let kind = head.content_type.split(';').next().unwrap_or_default().trim();
    if head.length > 0 && !["application/x-www-form-urlencoded", "application/json"].contains(&kind) {
        return Err(Answer::plain(506, &format!("upload 'Content-Type '{kind}' not implemented")));
    }
    Ok(method)
}

/// Parameters of query and body.
pub(super) fn parameters(head: &Head, body: &[u8]) -> Result<Parameters, Answer> {
    let mut pairs = head.target.split_once('?').map_or_else(Vec::new, |(_, query)| form(query));
    let text = String::from_utf8_lossy(body);
    if head.content_type.starts_with("application/json") {
        pairs.extend(json_pairs(&text)?);
    } else {
        pairs.extend(form(&text));
    }
    Ok(Parameters::new(pairs))
}

/// Split at `&` and at `;`.
fn form(text: &str) -> Vec<(String, String)> {
    let parts = text.split(['&', ';']).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(&name.replace('+', " ")), decode(&value.replace('+', " ")))
        })
        .collect()
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// The values of an object; a list is its name repeated.
fn json_pairs(text: &str) -> Result<Vec<(String, String)>, Answer> {
    let Ok(Value::Object(fields)) = serde_json::from_str(text) else {
        let rest = text.strip_prefix('{').unwrap_or(text);
        let rest = rest.trim_end_matches('}');
        return Err(Answer::plain(
            500,
            &format!(
                "'\"' expected, at character offset 1 (before \"{rest}\") at /usr/share/perl5/PVE/APIServer/AnyEvent.pm line 934.\n"
            ),
        ));
    };
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Bool(flag) => u8::from(*flag).to_string(),
        other => other.to_string(),
    };
    let mut pairs = Vec::new();
    for (name, value) in &fields {
        match value {
            Value::Array(list) => pairs.extend(list.iter().map(|one| (name.clone(), text(one)))),
            one => pairs.push((name.clone(), text(one))),
        }
    }
    Ok(pairs)
}

/// The bytes of an answer. Relayed ones that went well carry `Connection` twice; the first of them lies.
pub(super) fn render(answer: &Answer, relayed: bool, close: bool) -> Vec<u8> {
    let date = httpdate::fmt_http_date(SystemTime::now());
    let mut head = format!("HTTP/1.1 {} {}\r\nCache-Control: max-age=0\r\n", answer.status, answer.reason);
    match (close, relayed) {
        (true, _) => head += "Connection: close\r\n",
        (false, true) => head += "Connection: close\r\nConnection: Keep-Alive\r\n",
        (false, false) => head += "Connection: Keep-Alive\r\n",
    }
    head += &format!("Date: {date}\r\nPragma: no-cache\r\nServer: pve-api-daemon/3.0\r\n");
    let body = match &answer.body {
        Body::Json(value) => {
            let body = value.to_string();
            head += &format!(
                "Content-Length: {}\r\nContent-Type: application/json;charset=UTF-8\r\n",
                body.len()
            );
            body
        }
        Body::Plain(text) => {
            head += &format!("Content-Length: {}\r\n", text.len());
            text.clone()
        }
        Body::None => String::new(),
    };
    head += &format!("Expires: {date}\r\n\r\n");
    [head.into_bytes(), body.into_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        parse_head(text.replace('\n', "\r\n").as_bytes()).unwrap().unwrap().0
    }

    #[test]
    fn what_the_daemon_refuses_before_the_api_has_its_words() {
        let table = [
            ("DELETE /x HTTP/1.1\nContent-Length: 7\n\n", 501, "Unexpected content for method 'DELETE'"),
            (
                "PUT /x HTTP/1.1\nTransfer-Encoding: chunked\n\n",
                501,
                "chunked transfer encoding not supported",
            ),
            ("PUT /x HTTP/1.1\nContent-Length: 600000\n\n", 501, "for data too large"),
            (
                "PUT /x HTTP/1.1\nContent-Length: 1\nContent-Type: text/plain\n\n",
                506,
                "upload 'Content-Type 'text/plain' not implemented",
            ),
        ];
        for (request, status, reason) in table {
            let refused = refuse(&head(request)).unwrap_err();
            assert_eq!((refused.status, refused.reason.as_str()), (status, reason));
        }
        assert!(refuse(&head("POST /x HTTP/1.1\n\n")).is_ok());
    }

    #[test]
    fn forms_split_at_semicolons_and_json_lists_repeat_their_name() {
        let put = "PUT /x?a=1 HTTP/1.1\nContent-Type: application/x-www-form-urlencoded\n\n";
        let found = parameters(&head(put), b"description=a;tags=x&env=A%3D1%00B%3D2+3").unwrap();
        let expected = [("a", "1"), ("description", "a"), ("tags", "x"), ("env", "A=1\0B=2 3")];
        assert_eq!(found, Parameters::of(&expected));
        let post = "POST /x HTTP/1.1\nContent-Type: application/json\n\n";
        let found = parameters(&head(post), br#"{"command": ["/bin/echo", "hi there"], "n": 512}"#).unwrap();
        assert_eq!(found, Parameters::of(&[("command", "/bin/echo"), ("command", "hi there"), ("n", "512")]));
        let refused = parameters(&head(post), b"{not json").unwrap_err();
        let words = "'\"' expected, at character offset 1 (before \"not json\") at /usr/share/perl5/PVE/APIServer/AnyEvent.pm line 934.";
        assert_eq!(refused.reason, words);
    }

    #[test]
    fn relayed_answers_say_two_things_about_the_connection_and_bare_ones_nothing_about_their_length() {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let relayed = text(render(&Answer::data(Value::Null), true, false));
        assert!(relayed.starts_with("HTTP/1.1 200 OK\r\n"));
        assert!(relayed.contains("Connection: close\r\nConnection: Keep-Alive\r\n"));
        assert!(relayed.ends_with("\r\n\r\n{\"data\":null}"));
        let bare = text(render(&Answer::bare(595, "Connection refused"), true, true));
        assert!(bare.starts_with("HTTP/1.1 595 Connection refused\r\n") && !bare.contains("Content-Length"));
        assert!(bare.ends_with("\r\n\r\n"));
    }
}
