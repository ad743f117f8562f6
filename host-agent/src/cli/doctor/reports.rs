//! The way that guests' reports take, as far as it can be seen from here: where we listen, what guests are told, and whose
//! key they meet there. That a guest's network leads there only a guest can prove.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::Duration;

use firstlight_shared::pin::SpkiPin;

use super::super::client::{Client, Place};
use crate::backend::findings::{Finding, State};
use crate::backend::link::{Address, fetch_certificate};
use crate::config::Settings;
use crate::http::api::Status;

/// How long whoever stands at an address may take to show a key.
const LIMIT: Duration = Duration::from_secs(2);

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    listen: SocketAddr,
    /// None: it could be bound.
    bound: Option<ErrorKind>,
    /// The key of the companion that runs here; None: none answers.
    companion: Option<String>,
    /// The key that is met at `listen` from here, where something is bound to it.
    met_here: Option<String>,
    /// What guests are told; Err: why nothing can be.
    url: Result<String, String>,
    /// Of the url's host: Err: it has none.
    addresses: Result<Vec<IpAddr>, String>,
    /// One of them is this machine's.
    is_ours: bool,
    /// The key that is met at the url from here, where somebody answers.
    met_there: Option<String>,
    /// The nodes themselves are reached by a loopback address.
    nodes_are_here: bool,
}

/// `url`: what guests are told, or why nothing can be. `nodes_are_here`: they are reached by a loopback address or a socket.
pub(super) async fn look(settings: &Settings, url: Result<String, String>, nodes_are_here: bool) -> Facts {
    let listen = settings.reports.listen;
    let bound = TcpListener::bind(listen).err().map(|error| error.kind());
    let client = Client::new(Place::Here { socket: settings.api.socket.clone() });
    let companion = match client.answers().await {
        true => client.get::<Status>("/v1/status").await.ok().map(|status| status.pin),
        false => None,
    };
    let met_here = match bound {
        Some(_) => {
            let here = Address { host: reached(listen.ip()).to_string(), port: listen.port() };
            key_at(&here).await
        }
        None => None,
    };
    // Without a port it is that of HTTPS.
    let there = url.as_ref().ok().and_then(|url| Address::read(url, 443));
    let (addresses, met_there) = match there {
        Some(there) => (resolved(&there).await, key_at(&there).await),
        None => (Err("no host is named".to_owned()), None),
    };
    let of_this_machine = |address: &IpAddr| TcpListener::bind((*address, 0)).is_ok();
    Facts {
        listen,
        bound,
        companion,
        met_here,
        is_ours: addresses.as_ref().is_ok_and(|all| all.iter().any(of_this_machine)),
        url,
        addresses,
        met_there,
        nodes_are_here,
    }
}

/// All addresses are met at the loopback.
fn reached(listen: IpAddr) -> IpAddr {
    match listen {
        IpAddr::V4(address) if address.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(address) if address.is_unspecified() => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1_u16]),
        other => other,
    }
}

pub(super) fn is_loopback(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

async fn key_at(address: &Address) -> Option<String> {
    let presented = fetch_certificate(address, LIMIT).await.ok()?;
    Some(SpkiPin::to_string(&presented.key))
}

async fn resolved(there: &Address) -> Result<Vec<IpAddr>, String> {
    let found = tokio::time::timeout(LIMIT, tokio::net::lookup_host((there.host.as_str(), there.port))).await;
    match found {
        Ok(Ok(all)) => Ok(all.map(|address| address.ip()).collect()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

/// What follows. Pure.
pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    vec![judge_listener(facts), judge_url(facts)]
}

fn finding(state: State, what: &str, why: String, fix: &[&str]) -> Finding {
    Finding { state, what: what.to_owned(), why, fix: fix.iter().map(ToString::to_string).collect() }
}

fn judge_listener(facts: &Facts) -> Finding {
    let what = "listener for reports";
    let listen = facts.listen;
    match (facts.bound, &facts.companion, &facts.met_here) {
        (None, None, _) => finding(State::Ok, what, format!("{listen} is free for the companion"), &[]),
        // It runs with another configuration than the one that is read here.
        (None, Some(_), _) => finding(
            State::Warn,
            what,
            format!("a companion runs here, and does not listen on {listen}"),
            &["systemctl restart firstlight", "what [reports] says counts after a restart"],
        ),
        (Some(ErrorKind::AddrInUse), Some(key), Some(met)) if key == met => finding(
            State::Ok,
            what,
            format!("the companion takes reports on {listen}, with its own key"),
            &[],
        ),
        (Some(ErrorKind::AddrInUse), ..) => finding(
            State::Fail,
            what,
            format!("{listen} is taken by another program, or by a companion that is not asked here"),
            &["ss -ltnp shows whose it is; or choose another port: reports.listen"],
        ),
        (Some(ErrorKind::AddrNotAvailable), ..) => finding(
            State::Fail,
            what,
            format!("{} is no address of this machine", listen.ip()),
            &["reports.listen = \"0.0.0.0:7443\" listens on all of its addresses"],
        ),
        (Some(kind), ..) => {
            finding(State::Fail, what, format!("{listen} cannot be listened on: {kind}"), &[])
        }
    }
}

fn judge_url(facts: &Facts) -> Finding {
    let what = "address for reports";
    let url = match &facts.url {
        Ok(url) => url,
        Err(why) => {
            return finding(
                State::Fail,
                what,
                why.clone(),
                &["reports.url = \"https://ADDRESS:PORT\" says where guests send their reports"],
            );
        }
    };
    let addresses = match &facts.addresses {
        Ok(addresses) if !addresses.is_empty() => addresses,
        Ok(_) => return finding(State::Fail, what, format!("{url}: its host has no address"), &[]),
        Err(why) => {
            let fix = "an address in place of the name spares guests the question";
            return finding(State::Fail, what, format!("{url}: its host has no address: {why}"), &[fix]);
        }
    };
    if addresses.iter().all(IpAddr::is_loopback) && !facts.nodes_are_here {
        let fix = "reports.url names an address of this machine that the guests' networks lead to";
        return finding(State::Fail, what, format!("{url}: in a guest that is the guest itself"), &[fix]);
    }
    match (&facts.companion, &facts.met_there) {
        (Some(key), Some(met)) if key != met => finding(
            State::Fail,
            what,
            format!(
                "{url}: whoever answers there shows another key ({met}) than the companion's ({key}): guests refuse it"
            ),
            &["reports.url names this companion, or a balancer that passes TLS through untouched"],
        ),
        (Some(_), None) => finding(
            State::Warn,
            what,
            format!("{url}: nobody answers there, asked from here"),
            &["is it forwarded to reports.listen of this machine, and does its firewall let guests in?"],
        ),
        (_, Some(_)) if facts.is_ours => {
            finding(State::Ok, what, well(url, "the companion's key is met there"), &[])
        }
        (_, Some(_)) => finding(State::Ok, what, well(url, "a key is met there"), &[]),
        (None, None) if facts.is_ours => {
            finding(State::Ok, what, well(url, "an address of this machine"), &[])
        }
        (None, None) => finding(
            State::Warn,
            what,
            format!("{url}: no address of this machine, and nobody answers there now"),
            &["start the companion (`firstlight serve`), then run this again"],
        ),
    }
}

fn well(url: &str, why: &str) -> String {
    format!("{url}: {why}; that the guests' networks lead there only a guest can prove")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            listen: "0.0.0.0:7443".parse().unwrap(),
            bound: None,
            companion: None,
            met_here: None,
            url: Ok("https://10.0.0.1:7443".to_owned()),
            addresses: Ok(vec![IpAddr::from([10, 0, 0, 1])]),
            is_ours: true,
            met_there: None,
            nodes_are_here: false,
        }
    }

    type Row = (fn(&mut Facts), State, &'static str);

    #[test]
    fn the_listener_is_judged() {
        let table: [Row; 6] = [
            (|_| {}, State::Ok, "is free"),
            (|facts| facts.companion = Some("a".into()), State::Warn, "does not listen on 0.0.0.0:7443"),
            (
                |facts| {
                    facts.bound = Some(ErrorKind::AddrInUse);
                    (facts.companion, facts.met_here) = (Some("a".into()), Some("a".into()));
                },
                State::Ok,
                "with its own key",
            ),
            (
                |facts| {
                    facts.bound = Some(ErrorKind::AddrInUse);
                    (facts.companion, facts.met_here) = (Some("a".into()), Some("b".into()));
                },
                State::Fail,
                "taken by another program",
            ),
            (
                |facts| facts.bound = Some(ErrorKind::AddrNotAvailable),
                State::Fail,
                "no address of this machine",
            ),
            (|facts| facts.bound = Some(ErrorKind::PermissionDenied), State::Fail, "permission denied"),
        ];
        for (change, state, said) in table {
            let mut facts = facts();
            change(&mut facts);
            let found = judge_listener(&facts);
            assert!(found.state == state && found.why.contains(said), "{said}: {found:?}");
        }
    }

    #[test]
    fn what_guests_are_told_is_judged() {
        let table: [Row; 9] = [
            (
                |_| {},
                State::Ok,
                "an address of this machine; that the guests' networks lead there only a guest",
            ),
            (|facts| facts.url = Err("no way to a node".into()), State::Fail, "no way to a node"),
            (
                |facts| facts.addresses = Err("not known".into()),
                State::Fail,
                "its host has no address: not known",
            ),
            (
                |facts| facts.addresses = Ok(vec![IpAddr::from([127, 0, 0, 1])]),
                State::Fail,
                "in a guest that is the guest itself",
            ),
            (
                |facts| {
                    facts.addresses = Ok(vec![IpAddr::from([127, 0, 0, 1])]);
                    facts.nodes_are_here = true;
                },
                State::Ok,
                "an address of this machine",
            ),
            (
                |facts| (facts.companion, facts.met_there) = (Some("a".into()), Some("b".into())),
                State::Fail,
                "shows another key (b) than the companion's (a)",
            ),
            (
                |facts| (facts.companion, facts.met_there) = (Some("a".into()), Some("a".into())),
                State::Ok,
                "the companion's key is met there",
            ),
            (
                |facts| facts.companion = Some("a".into()),
                State::Warn,
                "nobody answers there, asked from here",
            ),
            (|facts| facts.is_ours = false, State::Warn, "no address of this machine"),
        ];
        for (change, state, said) in table {
            let mut facts = facts();
            change(&mut facts);
            let found = judge_url(&facts);
            assert!(found.state == state && found.why.contains(said), "{said}: {found:?}");
        }
    }
}
