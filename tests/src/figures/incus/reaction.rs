//! How soon somebody knows of a guest that says Ready: from the server's event on.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

/// Of guests that the companion brought up. Its own times are of whole milliseconds.
#[derive(Debug, Default)]
pub(super) struct Reactions {
    /// Until its job was woken.
    pub(super) woken: Vec<Duration>,
    /// From then until its report was read through the server, and taken.
    pub(super) taken: Vec<Duration>,
    /// From the event until the guest was found to be the one that was wanted.
    pub(super) verified: Vec<Duration>,
    /// Guests whose report was bound before their event came.
    pub(super) before: usize,
}

impl Reactions {
    pub(super) fn take(&mut self, guests: &[Value], ready: &BTreeMap<String, u64>) {
        for guest in guests {
            let Some(event) = guest["name"].as_str().and_then(|name| ready.get(name)) else { continue };
            let (Some(wait), Some(verify)) = (step(guest, "await-report"), step(guest, "verify")) else {
                continue;
            };
            let since = |at_ms: u64, from: u64| Duration::from_micros((at_ms * 1000).saturating_sub(from));
            match wait["told_at_ms"].as_u64() {
                Some(told) => {
                    self.woken.push(since(told, *event));
                    self.taken.push(since(end(wait), told * 1000));
                    self.verified.push(since(end(verify), *event));
                }
                None => self.before += 1,
            }
        }
    }
}

/// From the event until each wait was over.
pub(super) fn of_waits(waits: &BTreeMap<String, u64>, ready: &BTreeMap<String, u64>) -> Vec<Duration> {
    let of = |(name, at): (&String, &u64)| Some(Duration::from_micros(at.saturating_sub(*ready.get(name)?)));
    waits.iter().filter_map(of).collect()
}

fn step<'a>(guest: &'a Value, name: &str) -> Option<&'a Value> {
    guest["steps"].as_array()?.iter().find(|step| step["name"] == name)
}

fn end(step: &Value) -> u64 {
    step["started_at_ms"].as_u64().unwrap_or_default() + step["duration_ms"].as_u64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reactions_begin_with_the_servers_event() {
        let guest = |name: &str, told: Option<u64>| {
            json!({ "name": name, "steps": [
                { "name": "await-report", "started_at_ms": 500, "duration_ms": 600, "told_at_ms": told },
                { "name": "verify", "started_at_ms": 1100, "duration_ms": 50 },
            ] })
        };
        let ready = BTreeMap::from([("a".to_owned(), 999_500), ("b".to_owned(), 1_200_000)]);
        let mut reactions = Reactions::default();
        reactions.take(&[guest("a", Some(1002)), guest("b", None), guest("other", Some(1))], &ready);
        assert_eq!(reactions.woken, [Duration::from_micros(2500)]);
        assert_eq!(reactions.taken, [Duration::from_millis(98)]);
        assert_eq!(reactions.verified, [Duration::from_micros(150_500)]);
        assert_eq!(reactions.before, 1);
        let waits = BTreeMap::from([("a".to_owned(), 3_999_500), ("c".to_owned(), 1)]);
        assert_eq!(of_waits(&waits, &ready), [Duration::from_secs(3)]);
    }
}
