//! `sshd`: the SSH server really serves the keys that this machine has, and holds their private halves.
//!
//! Works for socket activation too. Looks at files first: connections are few (see `sshd::probe`).

use std::time::Duration;

use firstlight_shared::check::Verdict;
use firstlight_shared::error::Chain;
use ssh_key::HashAlg;

use super::{Context, Look};
use crate::keys::{self, HostKeys, KeyFile, KeyType};
use crate::paths;
use crate::sshd::{HandshakeError, KEYS_READ, ProbeError, SshdConfig, algorithm_of, probe};
use crate::sys::{Stopwatch, listening_sockets};

const SOCKETS: [&str; 2] = ["ssh.socket", "sshd.socket"];
const UNITS: [&str; 4] = ["ssh.service", "sshd.service", "ssh.socket", "sshd.socket"];
/// After a server that answered was found wanting: three connections in as many seconds are never punished.
const PAUSE: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(20);

pub(super) async fn look(context: &Context<'_>) -> Look {
    let root = &context.machine.root;
    if !paths::SSHD_SIGNS.iter().any(|path| root.kind(path).is_some()) {
        return Look::Final(Verdict::Skip, "there is no SSH server in this image".to_owned());
    }
    if is_switched_off(context).await {
        return Look::Final(Verdict::Skip, "the SSH server is switched off".to_owned());
    }
    let expected = match keys::scan(root) {
        Ok(found) => match expected(context, &found) {
            Ok(expected) => expected,
            Err(look) => return look,
        },
        Err(error) => return Look::NotYet(Verdict::Unknown, Chain(&error).to_string()),
    };
    let mut config = SshdConfig::load(root);
    if let Some(sockets) = sockets(context).await {
        config.listen_on(&sockets);
    }
    let ports: Vec<u16> = config.endpoints().into_iter().map(|(_, port)| port).collect();
    let before = listening_sockets(&ports);
    match ask(context, &config, &expected).await {
        Ok(answers) => Look::pass(answers),
        Err(Trouble::Unasked(problem)) => Look::not_yet(problem),
        Err(Trouble::Unknown(problem)) => Look::Final(Verdict::Unknown, problem),
        Err(Trouble::Wrong(problem)) => {
            await_change(&ports, &before).await;
            Look::not_yet(problem)
        }
    }
}

/// None of its units is enabled or running. Unknown counts as switched on.
async fn is_switched_off(context: &Context<'_>) -> bool {
    for unit in UNITS {
        let Ok(file) = context.bus.file_state(unit).await else { return false };
        let off = file
            .is_none_or(|state| matches!(state.as_str(), "disabled" | "masked" | "masked-runtime" | "alias"));
        let Ok(active) = context.bus.active_state(unit).await else { return false };
        if !off || active.is_some_and(|state| state != "inactive") {
            return false;
        }
    }
    true
}

/// Where systemd listens for sshd, if it does: sshd_config does not count then.
async fn sockets(context: &Context<'_>) -> Option<Vec<String>> {
    for unit in SOCKETS {
        if context.bus.active_state(unit).await.ok().flatten().as_deref() == Some("active") {
            return context.bus.listen_streams(unit).await.ok();
        }
    }
    None
}

/// One key that sshd must serve.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Expected {
    algorithm: &'static str,
    fingerprint: String,
    /// Made since the identity phase by another program: cloud-init makes keys of its own. Fresh, and to be told.
    is_other: bool,
}

/// The first key of each type, the one made last first: it is the one that sshd may not know yet.
fn expected(context: &Context<'_>, found: &HostKeys) -> Result<Vec<Expected>, Look> {
    let identity = context.outcome.map(|outcome| &outcome.identity);
    let pending =
        |kind: KeyType| identity.is_some_and(|id| id.pending.iter().any(|name| name == kind.as_str()));
    let mut expected = Vec::new();
    for kind in KeyType::ALL.into_iter().rev() {
        let key = found.of_type(kind);
        if pending(kind) && !key.is_some_and(KeyFile::is_whole) {
            return Err(Look::not_yet(format!("the {} host key is still to be made", kind.as_str())));
        }
        let Some(key) = key.filter(|key| key.is_usable()) else { continue };
        // A key of a form that nothing is known of: what sshd serves for it cannot be judged.
        let Some((public, fingerprint)) = key.key().zip(key.fingerprint()) else { continue };
        let verified =
            identity.is_none_or(|id| id.ssh_host_keys.iter().any(|own| own.fingerprint == fingerprint));
        let is_other = !verified && !pending(kind);
        if is_other && let Some(whose) = known(context, &fingerprint) {
            return Err(Look::not_yet(format!("the host key {} is {whose}", key.name)));
        }
        if let Some(algorithm) = algorithm_of(public) {
            expected.push(Expected { algorithm, fingerprint, is_other });
        }
    }
    match expected.is_empty() {
        false => Ok(expected),
        true if found.keys.iter().any(KeyFile::is_usable) => {
            let problem = "no host key is of a form that can be judged";
            Err(Look::Final(Verdict::Unknown, problem.to_owned()))
        }
        true => Err(Look::not_yet("there is no host key")),
    }
}

/// Why no pass.
#[derive(Debug)]
enum Trouble {
    /// Nobody answers: asking again costs nothing.
    Unasked(String),
    Wrong(String),
    Unknown(String),
}

/// Every key on the first thing that sshd listens on; one key on the others, which the same sshd serves.
async fn ask(context: &Context<'_>, config: &SshdConfig, expected: &[Expected]) -> Result<String, Trouble> {
    let mut answers = Vec::new();
    for (number, (host, port)) in config.endpoints().into_iter().enumerate() {
        let at = host.map_or_else(|| format!("port {port}"), |host| format!("{host} port {port}"));
        let asked = if number == 0 { expected } else { &expected[expected.len() - 1..] };
        let mut words = Vec::new();
        for key in asked {
            match probe(context.machine, host, port, key.algorithm).await {
                Ok(served) => {
                    let fingerprint = served.key.fingerprint(HashAlg::Sha256).to_string();
                    if fingerprint != key.fingerprint {
                        let whose = whose(context, &fingerprint);
                        let Expected { algorithm, fingerprint: made, .. } = key;
                        let problem = format!("{at}: {algorithm} is {fingerprint}, {whose}, {made} was made");
                        return Err(Trouble::Wrong(problem));
                    }
                    if words.is_empty() {
                        words.push(served.version);
                    }
                    let proof = if served.is_proved { "" } else { " (possession cannot be verified)" };
                    let maker =
                        if key.is_other { " (made by another program after the identity phase)" } else { "" };
                    words.push(format!("{}{proof}{maker}", key.algorithm));
                }
                Err(ProbeError::Handshake(HandshakeError::NotOffered(algorithm)))
                    if config.leaves_out(&algorithm) =>
                {
                    words.push(format!("{algorithm} (left out by HostKeyAlgorithms)"));
                }
                Err(error) => return Err(trouble(&at, &error)),
            }
        }
        answers.push(format!("{at}: {}", words.join(" ")));
    }
    Ok(answers.join(", "))
}

fn trouble(at: &str, error: &ProbeError) -> Trouble {
    let problem = format!("{at}: {}", error.said());
    match error {
        ProbeError::NoAnswer(_) => Trouble::Unasked(problem),
        ProbeError::Handshake(HandshakeError::NoCommonKex) => Trouble::Unknown(problem),
        ProbeError::Handshake(HandshakeError::NotOffered(algorithm)) => {
            Trouble::Wrong(format!("{at}: sshd does not serve the {algorithm} key yet"))
        }
        _ => Trouble::Wrong(problem),
    }
}

/// Whose key that is which sshd serves instead of ours.
fn whose(context: &Context<'_>, fingerprint: &str) -> &'static str {
    known(context, fingerprint).unwrap_or("a foreign key")
}

/// A key that must never be this machine's again.
fn known(context: &Context<'_>, fingerprint: &str) -> Option<&'static str> {
    let is = |list: &[String]| list.iter().any(|known| known == fingerprint);
    if context.golden.is_some_and(|golden| is(&golden.host_keys)) {
        Some("a key of the golden")
    } else if context.outcome.is_some_and(|outcome| is(&outcome.identity.removed_host_keys)) {
        Some("a key that was removed")
    } else {
        None
    }
}

/// Until sshd has read its keys or listens anew, else for the pause.
async fn await_change(ports: &[u16], before: &std::collections::BTreeSet<u64>) {
    let listens_anew = async {
        let watch = Stopwatch::start();
        loop {
            tokio::time::sleep(POLL).await;
            let now = listening_sockets(ports);
            if watch.elapsed() >= PAUSE || (!now.is_empty() && now != *before) {
                break;
            }
        }
    };
    tokio::select! {
        () = listens_anew => {}
        () = KEYS_READ.notified() => {}
    }
}

#[cfg(test)]
mod tests;
