//! What a webhook says: JSON with `type`, `timestamp` and `data`, as docs/webhooks.md describes it. Pure.

use std::net::IpAddr;

use serde::Serialize;
use serde_json::json;

use crate::bringup::Told;
use crate::outcome::Fault;

#[derive(Debug, Serialize)]
struct Body<T> {
    #[serde(rename = "type")]
    kind: String,
    /// RFC 3339.
    timestamp: String,
    data: T,
}

/// Of a guest's job. Whatever comes from the guest is escaped.
#[derive(Debug, Serialize)]
struct Data<'a> {
    guest: &'a str,
    job: &'a str,
    event: &'static str,
    backend: &'a str,
    batch: &'a str,
    by: &'a str,
    golden: Option<&'a str>,
    trust: Option<firstlight_shared::wire::Trust>,
    addresses: &'a [IpAddr],
    mac: Option<&'a str>,
    machine_id: Option<&'a str>,
    ssh_host_keys: Vec<HostKey<'a>>,
    created_at_ms: u64,
    ended_at_ms: u64,
    took_ms: u64,
    failed_step: Option<&'a str>,
    failure: Option<&'a Fault>,
    leftovers: &'a [String],
    change_of: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct HostKey<'a> {
    key: &'a str,
    fingerprint: &'a str,
}

/// The type, and the bytes to sign.
pub(super) fn of(told: &Told) -> (String, Vec<u8>) {
    let view = &told.view;
    let kind = format!("guest.{}", told.ending.as_str());
    let keys = view.ssh_host_keys.iter();
    let data = Data {
        guest: &view.name,
        job: &view.job,
        event: told.ending.as_str(),
        backend: &view.backend,
        batch: &view.batch,
        by: &view.by,
        golden: told.golden.as_deref(),
        trust: view.trust,
        addresses: &view.addresses,
        mac: view.mac.as_deref(),
        machine_id: view.machine_id.as_deref(),
        ssh_host_keys: keys
            .map(|key| HostKey { key: &key.public_key, fingerprint: &key.fingerprint })
            .collect(),
        created_at_ms: view.created_at_ms,
        ended_at_ms: told.at_ms,
        took_ms: told.at_ms.saturating_sub(view.created_at_ms),
        failed_step: view.step.as_deref().filter(|_| view.failure.is_some()),
        failure: view.failure.as_ref(),
        leftovers: &view.leftovers,
        change_of: view.change_of.as_deref(),
    };
    let bytes = bytes(&Body { kind: kind.clone(), timestamp: rfc3339(told.at_ms), data });
    (kind, bytes)
}

pub(super) fn test(name: &str, at_ms: u64) -> (String, Vec<u8>) {
    let kind = "firstlight.test".to_owned();
    let data = json!({ "webhook": name });
    let bytes = bytes(&Body { kind: kind.clone(), timestamp: rfc3339(at_ms), data });
    (kind, bytes)
}

/// Our own types, with nothing that JSON lacks.
fn bytes(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).unwrap_or_default()
}

/// `2026-11-22T03:04:05.678Z`
fn rfc3339(ms: u64) -> String {
    let shown = crate::clock::utc(ms).replacen(' ', "T", 1);
    format!("{}.{:03}Z", shown.trim_end_matches(" UTC"), ms % 1000)
}
