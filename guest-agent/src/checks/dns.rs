//! `dns`: a name has an address, by /etc/hosts or the servers of /etc/resolv.conf.
//!
//! Its own small client: getaddrinfo(3) kills a static program in a foreign root. Neither nsswitch.conf nor systemd's
//! resolver is asked, except where resolv.conf names the latter's stub.

mod config;
mod message;
mod query;

#[cfg(feature = "fuzzing")]
pub(crate) use message::fuzz_dns;

use std::net::IpAddr;
use std::path::Path;

use firstlight_shared::error::Chain;
use serde::Deserialize;

use self::config::{ResolvConf, in_hosts};
use self::query::Answer;
use super::Look;
use crate::sys::{SysError, aside, bytes_of};

const HOSTS: &str = "/etc/hosts";
const RESOLV_CONF: &str = "/etc/resolv.conf";
const MAX_FILE: u64 = 4 << 20;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dns {
    name: Name,
    /// One of the addresses that must be found; any will do if absent.
    address: Option<IpAddr>,
}

/// A name that can stand in a question.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
struct Name(String);

impl TryFrom<String> for Name {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        let bare = text.strip_suffix('.').unwrap_or(&text);
        if bare.len() <= 253 && bare.split('.').all(label) {
            return Ok(Self(text));
        }
        Err(format!("`{}` is no name", firstlight_shared::text::escape(&text, 100)))
    }
}

pub(super) async fn look(keys: &Dns) -> Look {
    let read = || {
        let text = |path| -> Result<Option<String>, SysError> {
            let bytes = bytes_of(Path::new(path), MAX_FILE)?;
            Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
        };
        Ok::<_, SysError>((text(HOSTS)?, text(RESOLV_CONF)?))
    };
    let (hosts, resolv_conf) = match aside(read).await {
        Some(Ok(texts)) => texts,
        Some(Err(error)) => return Look::cannot_tell(Chain(&error).to_string()),
        None => return Look::no_thread(),
    };
    let name = keys.name.0.as_str();
    let listed = in_hosts(&hosts.unwrap_or_default(), name);
    if !listed.is_empty() {
        return judge(keys, &Answer::Addresses(listed), HOSTS);
    }
    let config = ResolvConf::parse(&resolv_conf.unwrap_or_default());
    let mut last = judge(keys, &Answer::Silent, RESOLV_CONF);
    for candidate in config.candidates(name) {
        let (answer, server) = query::ask(&config, &candidate).await;
        last = judge(keys, &answer, &server);
        // A server that fails may know the next name no better: only a clear no goes on.
        if !matches!(answer, Answer::NoSuchName | Answer::NoAddress) {
            break;
        }
    }
    last
}

fn judge(keys: &Dns, answer: &Answer, source: &str) -> Look {
    let name = &keys.name.0;
    match answer {
        Answer::Addresses(found) => {
            let shown = found.iter().take(4).map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
            let seen = format!("{name} is {shown} by {source}");
            let right = keys.address.is_none_or(|wanted| found.contains(&wanted));
            if right { Look::pass(seen) } else { Look::not_yet(seen) }
        }
        Answer::NoSuchName => Look::not_yet(format!("{source} knows no {name}")),
        Answer::NoAddress => Look::not_yet(format!("{name} has no address by {source}")),
        Answer::Failed(reason) => Look::not_yet(format!("{source}: {reason}")),
        Answer::Silent => Look::not_yet(format!("no server of {RESOLV_CONF} answers")),
    }
}

#[cfg(test)]
mod tests {
    use firstlight_shared::check::Verdict;

    use super::super::units::said;
    use super::*;

    #[test]
    fn an_answer_is_judged_by_its_addresses() {
        let check = |keys: &str| toml::from_str::<Dns>(&format!("name = \"a.example\"\n{keys}")).unwrap();
        let addresses = || Answer::Addresses(vec!["10.0.0.1".parse().unwrap(), "::1".parse().unwrap()]);
        for (keys, answer, verdict) in [
            ("", addresses(), Verdict::Pass),
            ("address = \"::1\"", addresses(), Verdict::Pass),
            ("address = \"10.0.0.2\"", addresses(), Verdict::Fail),
            ("", Answer::NoSuchName, Verdict::Fail),
            ("", Answer::NoAddress, Verdict::Fail),
            ("", Answer::Failed("x".into()), Verdict::Fail),
            ("", Answer::Silent, Verdict::Fail),
        ] {
            assert_eq!(said(&judge(&check(keys), &answer, "x")).0, verdict, "{keys} {answer:?}");
        }
    }

    #[test]
    fn names_are_labels_with_dots() {
        for (name, right) in
            [("a", true), ("a.example.", true), ("_x._tcp.a", true), ("", false), (".", false)]
        {
            assert_eq!(Name::try_from(name.to_owned()).is_ok(), right, "{name}");
        }
        for wrong in ["a..b".to_owned(), "a b".to_owned(), "ä".to_owned(), "a".repeat(64), "a.".repeat(130)]
        {
            assert!(Name::try_from(wrong).is_err());
        }
    }
}
