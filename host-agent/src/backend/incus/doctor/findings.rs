//! What follows from what there is. Pure.

use super::access::judge_access;
use super::facts::{Facts, RemoteFacts, TlsFacts};
use super::project::judge_project;
use super::storage::judge_resources;
use crate::backend::findings::{APART_S, Findings, State, counted};
use crate::backend::incus::client::endpoint::server::Server;
use crate::backend::incus::client::verdict::{Class, Unsent};
use crate::backend::link::pin::Pin;

/// The API that the client speaks, by its extensions. Every Incus has had them since its first release.
const NEEDED: [&str; 6] = [
    "projects",
    "instances",
    "event_lifecycle",
    "instance_all_projects",
    "container_backup",
    "backup_override_name",
];
/// A guest that says it is ready is heard of at once.
const READY: &str = "instance_ready_state";

/// A certificate with fewer days left is one to see to.
const SOON_DAYS: i64 = 30;
const DAY_S: i64 = 86_400;

pub(super) fn judge(facts: &Facts) -> Findings {
    let mut findings = Findings::default();
    for remote in &facts.remotes {
        judge_remote(remote, &mut findings);
    }
    findings.say_preflights(&facts.preflights);
    findings
}

fn judge_remote(remote: &RemoteFacts, findings: &mut Findings) {
    if let Some(tls) = &remote.tls {
        judge_certificates(remote, tls, findings);
    }
    let Some(server) = judge_door(remote, findings) else { return };
    judge_version(remote, server, findings);
    judge_clock(remote, server, findings);
    judge_access(remote, server, findings);
    for project in &remote.projects {
        judge_project(remote, server, project, findings);
        judge_resources(remote, project, findings);
    }
}

/// The server, if it answers.
fn judge_door<'a>(remote: &'a RemoteFacts, findings: &mut Findings) -> Option<&'a Server> {
    let what = format!("server {}", remote.name);
    let error = match &remote.server {
        Ok(server) => {
            let known = if remote.tls.is_some() { ", and is the pinned server" } else { "" };
            findings.say(State::Ok, what, format!("{} answers{known}", remote.address));
            return Some(server);
        }
        Err(error) => error,
    };
    let finding = findings.say(State::Fail, what, format!("{}: {}", remote.address, error.text));
    match (error.class, &remote.tls) {
        (Class::NeverSent(Unsent::WrongCertificate), _) => finding.with_fix([
            "incus info | grep certificate_fingerprint".to_owned(),
            "compare there what the server shows here; if it is the same, it was renewed:".to_owned(),
            format!("firstlight trust {} --backend incus", remote.address),
        ]),
        (_, None) => finding.with_fix([
            "does it run (`systemctl status incus`), and may this user open its socket (group incus-admin)?",
        ]),
        (_, Some(tls)) => {
            let way = if tls.proxied { ", over the proxy" } else { "" };
            finding.with_fix([format!(
                "is the address right, does the server listen there (`incus config get core.https_address`), and may this machine reach it{way}?"
            )]);
        }
    }
    None
}

fn judge_certificates(remote: &RemoteFacts, tls: &TlsFacts, findings: &mut Findings) {
    let what = format!("pin of {}", remote.name);
    let left = tls.server_ends_s.map(|ends| (ends - remote.asked_s).div_euclid(DAY_S));
    let renew = [
        "on the server, its server.crt and server.key are made anew, or an authority's are put in their place",
    ];
    match (&tls.pin, left) {
        (_, None) => findings.say(State::Unknown, what, "no certificate was shown that can be read"),
        (Pin::Keys(_), Some(left)) => {
            let why = format!("its key, which outlives the certificate ({} left)", days(left));
            findings.say(State::Ok, what, why)
        }
        (Pin::Authority(_), Some(left)) if left < 0 => {
            let finding = findings.say(State::Fail, what, format!("the server's certificate {}", days(left)));
            finding.with_fix(renew);
            finding
        }
        (Pin::Authority(_) | Pin::Leaves(_), Some(left)) if left < SOON_DAYS => {
            let finding = findings.say(State::Warn, what, format!("the server's certificate {}", days(left)));
            finding.with_fix([format!(
                "firstlight trust {} --backend incus pins its key instead",
                remote.address
            )]);
            finding
        }
        (Pin::Authority(_), Some(left)) => {
            findings.say(State::Ok, what, format!("its authority; the certificate has {} left", days(left)))
        }
        (Pin::Leaves(_), Some(left)) => {
            let why = format!("its certificate ({} left): one that is renewed is another one", days(left));
            findings.say(State::Ok, what, why)
        }
    };
    let what = format!("certificate for {}", remote.name);
    let anew = [
        "firstlight trust ADDRESS --backend incus makes another one, once the files of this one are moved away",
    ];
    match tls.own_ends_s.map(|ends| (ends - remote.asked_s).div_euclid(DAY_S)) {
        None => {
            findings.say(State::Unknown, what, "the end of ours cannot be read");
        }
        // The server trusts none that has ended. Source: CheckTrustState in internal/server/util/http.go of Incus.
        Some(left) if left < 0 => {
            findings.say(State::Fail, what, format!("ours {}", days(left))).with_fix(anew)
        }
        Some(left) if left < SOON_DAYS => {
            findings.say(State::Warn, what, format!("ours has {} left", days(left))).with_fix(anew);
        }
        Some(left) => {
            findings.say(State::Ok, what, format!("ours has {} left", days(left)));
        }
    }
}

/// `12 days`, or that it has ended.
fn days(left: i64) -> String {
    match usize::try_from(left) {
        Ok(left) => counted(left, "day"),
        Err(_) => format!("ended {} ago", counted(usize::try_from(-left).unwrap_or_default(), "day")),
    }
}

fn judge_version(remote: &RemoteFacts, server: &Server, findings: &mut Findings) {
    let what = format!("version of {}", remote.name);
    let version = firstlight_shared::text::escape(&server.environment.server_version, 40);
    // Strangers are told its extensions, and not its version.
    let version = if version.is_empty() { "Incus".to_owned() } else { format!("Incus {version}") };
    let missing: Vec<&str> = NEEDED.into_iter().filter(|extension| !server.has(extension)).collect();
    if !missing.is_empty() {
        let why = format!("{version}: its API lacks {}", missing.join(", "));
        findings.say(State::Fail, what, why).with_fix(["6.0 LTS and later are known to work"]);
    } else if server.has(READY) {
        findings.say(State::Ok, what, format!("{version}, with all that is needed of its API"));
    } else {
        let why = format!("{version}: guests cannot say that they are ready; they are looked at instead");
        findings.say(State::Warn, what, why);
    }
}

fn judge_clock(remote: &RemoteFacts, server: &Server, findings: &mut Findings) {
    let what = format!("clock of {}", remote.name);
    let Some(theirs) = server.clock_s else {
        findings.say(State::Warn, what, "the server's answer has no date");
        return;
    };
    let ahead = theirs.cast_signed() - remote.asked_s;
    let state = if ahead.unsigned_abs() < APART_S { State::Ok } else { State::Warn };
    let finding = findings.say(state, what, format!("{ahead:+} s from ours"));
    if state != State::Ok {
        finding.with_fix(["chronyc tracking", "on the server and here: one of them is not synchronized"]);
    }
}
