//! Hands the report to the host over every channel at once: the same bytes at every attempt, until acknowledged, refused
//! or out of time. Every attempt of every channel is noted in /run/firstlight/delivery.json.
//!
//! States: sending → acknowledged | refused | gave-up | no-host. The first acknowledgement ends the others. A refusal
//! ends its channel at once, and the delivery as soon as every other one has had its say: a host that the claim names
//! must not be outvoted by another that happens to listen on a port, and a channel that nobody serves must not hold a
//! refusal back for half an hour.

use std::sync::Arc;
use std::time::Duration;

use firstlight_shared::backoff::Backoff;
use firstlight_shared::error::Chain;
use firstlight_shared::text::escape;
use firstlight_shared::wire::{Ack, Envelope, Refusal};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::ReportEnd;
use crate::channel::{ATTEMPT_LIMIT, Answer, Channel, Message};
use crate::claim::Source;
use crate::keys::certificate;
use crate::paths;
use crate::sys::{Clock, Machine, Root, Stopwatch, random_bytes};

const BACKOFF: Backoff = Backoff { first: Duration::from_millis(100), max: Duration::from_secs(5) };
/// The log of a channel keeps the first attempt and so many of the last ones.
const KEPT_ATTEMPTS: usize = 20;
/// So long a hypervisor that is only told has after the host has acknowledged.
const TELL_LIMIT: Duration = Duration::from_secs(3);
const LONGEST_RESULT: usize = 300;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DeliveryState {
    Sending,
    Acknowledged,
    Refused,
    GaveUp,
    /// No channel leads to a host that acknowledges: the report stays in its file.
    NoHost,
}

/// The log of this boot's delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Delivery {
    /// 1 had one address and no list of channels; a log of another version is not read.
    pub version: u32,
    pub state: DeliveryState,
    /// Where the claim came from, if there was one.
    pub claim_source: Option<Source>,
    pub report_sha256: String,
    pub channels: Vec<ChannelLog>,
    pub ack: Option<Ack>,
    pub refusal: Option<Refusal>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChannelLog {
    pub channel: String,
    pub state: ChannelState,
    pub attempt_count: u32,
    pub attempts: Vec<Attempt>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ChannelState {
    Trying,
    Acknowledged,
    Refused,
    /// The hypervisor was told that the guest is ready, or need not be.
    Told,
    GaveUp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempt {
    pub at_ms: u64,
    pub elapsed_ms: u64,
    pub result: String,
}

impl Delivery {
    fn new(channels: &[Channel], message: &Message, claim_source: Option<Source>) -> Self {
        let log = |channel: &Channel| ChannelLog {
            channel: channel.to_string(),
            state: ChannelState::Trying,
            attempt_count: 0,
            attempts: Vec::new(),
        };
        Self {
            version: 2,
            state: DeliveryState::Sending,
            claim_source,
            report_sha256: message.sha256().to_owned(),
            channels: channels.iter().map(log).collect(),
            ack: None,
            refusal: None,
        }
    }

    /// The host has answered for good.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self.state, DeliveryState::Acknowledged | DeliveryState::Refused)
    }

    /// The channel over which the host acknowledged.
    pub(crate) fn acknowledged_by(&self) -> Option<&str> {
        let by = self.channels.iter().find(|log| log.state == ChannelState::Acknowledged);
        by.map(|log| log.channel.as_str())
    }

    fn save(&self, root: &Root) {
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        if let Err(error) = root.replace(paths::DELIVERY, 0o600, &text) {
            eprintln!("warning: {}", Chain(&error));
        }
    }
}

impl ChannelLog {
    fn note(&mut self, attempt: Attempt) {
        self.attempt_count = self.attempt_count.saturating_add(1);
        self.attempts.push(attempt);
        if self.attempts.len() > KEPT_ATTEMPTS {
            self.attempts.remove(1);
        }
    }
}

pub(crate) fn load(root: &Root) -> Option<Delivery> {
    let delivery: Delivery = serde_json::from_slice(&root.read(paths::DELIVERY).ok()??).ok()?;
    (delivery.version == 2).then_some(delivery)
}

/// One attempt of one channel, as its task tells it.
#[derive(Debug)]
struct Event {
    channel: usize,
    at_ms: u64,
    elapsed_ms: u64,
    answer: Answer,
    /// The channel's time is over.
    last: bool,
}

/// What is to be delivered, and how long.
#[derive(Debug)]
pub(super) struct Parcel<'a> {
    pub envelope: &'a Envelope,
    /// The report says ready.
    pub ready: bool,
    pub claim_source: Option<Source>,
    pub give_up_after: Duration,
}

pub(super) async fn deliver(machine: &Machine, channels: Vec<Channel>, parcel: Parcel<'_>) -> ReportEnd {
    let message = match Message::new(parcel.envelope, parcel.ready) {
        Ok(message) => message,
        Err(error) => {
            eprintln!("error: the report cannot be sent: {error}");
            return ReportEnd::GaveUp;
        }
    };
    let mut delivery = Delivery::new(&channels, &message, parcel.claim_source);
    delivery.save(&machine.root);
    let has_host = channels.iter().any(Channel::acknowledges);
    let (sender, mut events) = mpsc::channel(channels.len().max(1));
    let mut tasks = JoinSet::new();
    for (index, channel) in channels.iter().enumerate() {
        let (channel, message, sender) = (channel.clone(), Arc::clone(&message), sender.clone());
        tasks.spawn(keep_trying(index, channel, message, machine.clock(), parcel.give_up_after, sender));
    }
    drop(sender);
    let mut deadline = None;
    while let Some(event) = next(&mut events, deadline).await {
        if let (Answer::Acknowledged(ack), None) = (&event.answer, &delivery.ack) {
            // Before the answer is noted: after a crash in between, the host is asked again.
            certificate::install_and_tell(machine, &ack.host_certificates).await;
        }
        note(&mut delivery, event);
        delivery.save(&machine.root);
        deadline = match delivery.state {
            DeliveryState::Acknowledged if all_told(&delivery, &channels) => break,
            DeliveryState::Acknowledged => deadline.or(Some(Instant::now() + TELL_LIMIT)),
            _ if delivery.refusal.is_none() => None,
            _ if all_heard(&delivery, &channels) => break,
            _ => deadline.or(Some(Instant::now() + ATTEMPT_LIMIT)),
        };
    }
    drop(tasks);
    finish(machine, &mut delivery, has_host)
}

/// None when all channels have ended or the deadline is over.
async fn next(events: &mut mpsc::Receiver<Event>, deadline: Option<Instant>) -> Option<Event> {
    match deadline {
        None => events.recv().await,
        Some(deadline) => tokio::time::timeout_at(deadline, events.recv()).await.ok().flatten(),
    }
}

async fn keep_trying(
    index: usize,
    channel: Channel,
    message: Arc<Message>,
    clock: Clock,
    give_up_after: Duration,
    events: mpsc::Sender<Event>,
) {
    let watch = Stopwatch::start();
    for attempt in 1.. {
        let (at_ms, lap) = (clock.now_ms(), Stopwatch::start());
        let answer = channel.attempt(&message).await;
        let last = watch.elapsed() >= give_up_after || !matches!(answer, Answer::Retry(_));
        let event = Event { channel: index, at_ms, elapsed_ms: lap.elapsed_ms(), answer, last };
        if events.send(event).await.is_err() || last {
            return;
        }
        let random = u32::from_ne_bytes(random_bytes());
        tokio::time::sleep(BACKOFF.delay(attempt, random)).await;
    }
}

fn note(delivery: &mut Delivery, event: Event) {
    let Some(log) = delivery.channels.get_mut(event.channel) else { return };
    let first = log.attempt_count == 0;
    let (state, result) = match event.answer {
        Answer::Acknowledged(ack) => {
            delivery.state = DeliveryState::Acknowledged;
            delivery.ack.get_or_insert(ack);
            (ChannelState::Acknowledged, "acknowledged".to_owned())
        }
        Answer::Refused(refusal) => {
            let result = format!("refused: {}", escape(&refusal.code, 80));
            delivery.refusal.get_or_insert(refusal);
            (ChannelState::Refused, result)
        }
        Answer::Told(what) => (ChannelState::Told, what.to_owned()),
        Answer::Retry(problem) => {
            let problem = escape(&problem, LONGEST_RESULT);
            if first {
                eprintln!("warning: {} does not take the report yet: {problem}", log.channel);
            }
            (if event.last { ChannelState::GaveUp } else { ChannelState::Trying }, problem)
        }
    };
    log.state = state;
    log.note(Attempt { at_ms: event.at_ms, elapsed_ms: event.elapsed_ms, result });
}

/// Whether no channel that only tells is still at it.
fn all_told(delivery: &Delivery, channels: &[Channel]) -> bool {
    let tells =
        |(log, channel): (&ChannelLog, &Channel)| channel.acknowledges() || log.state != ChannelState::Trying;
    delivery.channels.iter().zip(channels).all(tells)
}

/// Whether every channel has had at least one whole attempt.
fn all_heard(delivery: &Delivery, channels: &[Channel]) -> bool {
    let heard = |(log, channel): (&ChannelLog, &Channel)| log.attempt_count > 0 || !channel.acknowledges();
    delivery.channels.iter().zip(channels).all(heard)
}

fn finish(machine: &Machine, delivery: &mut Delivery, has_host: bool) -> ReportEnd {
    let gave_up = delivery.channels.iter().find(|log| log.state == ChannelState::GaveUp);
    let end = match (&delivery.ack, &delivery.refusal) {
        (Some(_), _) => {
            let by = delivery.channels.iter().find(|log| log.state == ChannelState::Acknowledged);
            let by = by.map_or("the host", |log| &log.channel);
            eprintln!("the report was acknowledged over {by}");
            ReportEnd::Done
        }
        (None, Some(refusal)) => {
            let message = escape(&refusal.message, 300);
            eprintln!("error: the host refused the report: {message}");
            machine.tell_console(&format!("the host refused the report: {message}"));
            delivery.state = DeliveryState::Refused;
            ReportEnd::Refused
        }
        (None, None) => match gave_up {
            Some(log) => {
                let result = log.attempts.last().map_or("", |attempt| &attempt.result);
                eprintln!("error: the report was not delivered: {}: {result}", log.channel);
                machine.tell_console(&format!("the report was not delivered: {}: {result}", log.channel));
                delivery.state = DeliveryState::GaveUp;
                ReportEnd::GaveUp
            }
            None if has_host => {
                eprintln!("error: the report was not delivered: its channels ended");
                delivery.state = DeliveryState::GaveUp;
                ReportEnd::GaveUp
            }
            None => {
                eprintln!("no host is configured: the report stays in /{}", paths::REPORT);
                delivery.state = DeliveryState::NoHost;
                ReportEnd::Done
            }
        },
    };
    delivery.save(&machine.root);
    end
}

#[cfg(test)]
mod tests;
