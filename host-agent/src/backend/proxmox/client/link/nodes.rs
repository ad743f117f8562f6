//! The addresses of a cluster: which is asked first, and the connections that are kept to them.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper::header::HeaderValue;
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::connection::Wire;
use super::gate::Gate;
use super::token::ApiToken;
use crate::backend::link::Address;
use crate::backend::proxmox::client::call::{Call, Limits};
use crate::backend::proxmox::client::verdict::{Answer, Failure, FailureKind, Reply};

/// The server hangs up after 5 s.
const KEPT_FOR_READS: Duration = Duration::from_secs(3);
/// A change must not meet a server that is about to hang up: its outcome would be unknown.
const KEPT_FOR_CHANGES: Duration = Duration::from_secs(1);
/// Kept per address at most.
const KEPT: usize = 4;
/// So long an address has for a connection before the next one is begun beside it.
const SLOW: Duration = Duration::from_millis(300);
/// An address that could not be reached is asked last for so long.
const AVOIDED: Duration = Duration::from_secs(10);

pub(in crate::backend::proxmox::client) struct Nodes {
    nodes: Vec<Node>,
    connector: TlsConnector,
    token: ApiToken,
    limits: Limits,
    gate: Gate,
}

impl std::fmt::Debug for Nodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let addresses: Vec<_> = self.nodes.iter().map(|node| node.address.to_string()).collect();
        f.debug_struct("Nodes")
            .field("addresses", &addresses)
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

struct Node {
    address: Address,
    name: ServerName<'static>,
    state: Mutex<State>,
}

/// A connection to an address.
enum Door {
    /// The server may have ended it meanwhile.
    Kept(Wire),
    New(Wire),
}

#[derive(Default)]
struct State {
    idle: Vec<(Wire, Instant)>,
    avoided_until: Option<Instant>,
    warned: bool,
}

impl Nodes {
    pub(in crate::backend::proxmox::client) fn new(
        addresses: &[Address],
        connector: TlsConnector,
        token: ApiToken,
        limits: Limits,
    ) -> Result<Self, InvalidDnsNameError> {
        let nodes: Result<Vec<_>, _> = addresses
            .iter()
            .map(|address| {
                Ok(Node { address: address.clone(), name: address.server_name()?, state: Mutex::default() })
            })
            .collect();
        Ok(Self { nodes: nodes?, connector, token, limits, gate: Gate::new(limits.at_once) })
    }

    pub(in crate::backend::proxmox::client) fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.nodes.iter().map(|node| &node.address)
    }

    pub(in crate::backend::proxmox::client) fn token_id(&self) -> &str {
        self.token.id()
    }

    /// One attempt: every address, as long as surely nothing was sent; none is waited for long while another may answer.
    /// The failure names each address with its reason.
    pub(in crate::backend::proxmox::client) async fn attempt(&self, call: &Call, connect: Duration) -> Reply {
        let _passed = self.gate.pass(call).await;
        let longest = if call.method.changes() { KEPT_FOR_CHANGES } else { KEPT_FOR_READS };
        let mut left: VecDeque<&Node> = self.order(call).into();
        let mut failures: Vec<Failure> = Vec::new();
        while let Some((node, door)) = self.first_open(&mut left, &mut failures, longest, connect).await {
            match self.ask(node, door, call, connect).await {
                Ok(answer) => {
                    node.lock().avoided_until = None;
                    return Reply::Answer(self.redacted(answer));
                }
                Err(failure) => {
                    node.avoid(&failure);
                    if failure.sent {
                        return Reply::Failure(failure);
                    }
                    failures.push(failure);
                }
            }
        }
        Reply::Failure(joined(failures))
    }

    /// The first address with a connection, of those that are `left`: a kept one, or a new one. The next address is begun
    /// when the one before has failed or is slow; slow ones are asked last for a while, also in this attempt.
    async fn first_open<'a>(
        &'a self,
        left: &mut VecDeque<&'a Node>,
        failures: &mut Vec<Failure>,
        longest: Duration,
        connect: Duration,
    ) -> Option<(&'a Node, Door)> {
        let mut opening = JoinSet::new();
        let mut begun: Vec<Option<&Node>> = Vec::new();
        let won = loop {
            if let Some(node) = left.pop_front() {
                if let Some(wire) = node.take(longest) {
                    break (node, Door::Kept(wire));
                }
                let (number, address, name) = (begun.len(), node.address.clone(), node.name.clone());
                let connector = self.connector.clone();
                opening.spawn(async move { (number, Wire::open(&address, name, &connector, connect).await) });
                begun.push(Some(node));
            }
            let patience = if left.is_empty() { Duration::MAX } else { SLOW };
            // Slow: the next one is begun. An end that cannot be read is none that there could be.
            let Ok(next) = timeout(patience, opening.join_next()).await else { continue };
            let Some(Ok((number, opened))) = next else {
                if left.is_empty() && next.is_none() {
                    return None;
                }
                continue;
            };
            let Some(node) = begun.get_mut(number).and_then(Option::take) else { continue };
            match opened {
                Ok(wire) => break (node, Door::New(wire)),
                Err(failure) => {
                    node.avoid(&failure);
                    failures.push(failure);
                }
            }
        };
        for slow in begun.into_iter().flatten() {
            slow.lock().avoided_until = Some(Instant::now() + AVOIDED);
            left.push_back(slow);
        }
        Some(won)
    }

    /// Those that work before those that did not, and among them the node itself that the call is about.
    fn order(&self, call: &Call) -> Vec<&Node> {
        let now = Instant::now();
        let mut order: Vec<&Node> = self.nodes.iter().collect();
        order.sort_by_key(|node| {
            let avoided = node.lock().avoided_until.is_some_and(|until| until > now);
            let detour = !call.node().is_some_and(|name| is_named(&node.address.host, name));
            (avoided, detour)
        });
        order
    }

    /// On this connection; where a kept one turns out to have ended, on another.
    async fn ask(&self, node: &Node, door: Door, call: &Call, connect: Duration) -> Result<Answer, Failure> {
        let longest = if call.method.changes() { KEPT_FOR_CHANGES } else { KEPT_FOR_READS };
        let mut kept = match door {
            Door::New(wire) => return self.exchange(node, wire, call).await,
            Door::Kept(wire) => Some(wire),
        };
        while let Some(wire) = kept {
            match self.exchange(node, wire, call).await {
                // The server hung up in between. Nothing was sent, or only a question.
                Err(failure)
                    if failure.kind == FailureKind::Connection
                        && (!failure.sent || !call.method.changes()) => {}
                ended => return ended,
            }
            kept = node.take(longest);
        }
        let wire = Wire::open(&node.address, node.name.clone(), &self.connector, connect).await?;
        self.exchange(node, wire, call).await
    }

    async fn exchange(&self, node: &Node, wire: Wire, call: &Call) -> Result<Answer, Failure> {
        let authorization: HeaderValue = self.token.header();
        let (answer, wire) = wire.exchange(call, &node.address, authorization, &self.limits).await?;
        if let Some(wire) = wire {
            node.keep(wire);
        }
        Ok(answer)
    }

    /// No answer can bring the token into a log.
    fn redacted(&self, answer: Answer) -> Answer {
        Answer {
            reason: self.token.redact(&answer.reason),
            body: self.token.redact_bytes(answer.body),
            ..answer
        }
    }
}

/// `pve1` is also `pve1.example.org`.
fn is_named(host: &str, node: &str) -> bool {
    host.strip_prefix(node).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// One failure for all: a server that is not the pinned one is the worst of them.
fn joined(failures: Vec<Failure>) -> Failure {
    let kinds = [FailureKind::WrongCertificate, FailureKind::Connection];
    let has = |kind: &FailureKind| failures.iter().any(|failure| failure.kind == *kind);
    let kind = kinds.into_iter().find(has).unwrap_or(FailureKind::TimedOut);
    let mut texts: Vec<String> = Vec::new();
    for Failure { text, .. } in failures {
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    let text = if texts.is_empty() { "no address is configured".to_owned() } else { texts.join("; ") };
    Failure { kind, sent: false, text }
}

impl Node {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing in it can be half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that was used last, if it is fresh enough; older ones are closed.
    fn take(&self, longest: Duration) -> Option<Wire> {
        let mut state = self.lock();
        state.idle.retain(|(wire, since)| wire.is_open() && since.elapsed() < KEPT_FOR_READS);
        let fresh = state.idle.last().is_some_and(|(_, since)| since.elapsed() < longest);
        if fresh { state.idle.pop().map(|(wire, _)| wire) } else { None }
    }

    fn keep(&self, wire: Wire) {
        let mut state = self.lock();
        state.idle.push((wire, Instant::now()));
        if state.idle.len() > KEPT {
            state.idle.remove(0);
        }
    }

    fn avoid(&self, failure: &Failure) {
        let mut state = self.lock();
        state.avoided_until = Some(Instant::now() + AVOIDED);
        if failure.kind == FailureKind::WrongCertificate && !state.warned {
            state.warned = true;
            tracing::warn!(address = %self.address, error = failure.text, "a proxmox node is not the pinned one");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_known_by_the_first_part_of_its_name() {
        for (host, node, expected) in [
            ("pve1", "pve1", true),
            ("pve1.example.org", "pve1", true),
            ("pve1.example.org", "pve", false),
            ("pve1.example.org", "pve10", false),
        ] {
            assert_eq!(is_named(host, node), expected, "{host} {node}");
        }
    }
}
