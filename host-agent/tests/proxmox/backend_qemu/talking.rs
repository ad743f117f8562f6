//! What is said through the machine's agent, and the claim that is taken back.

use std::time::Duration;

use firstlight::backend::Backend as _;
use firstlight_shared::wire::MAX_ENVELOPE;
use firstlight_tests::simpve::call::Method;
use firstlight_tests::simpve::profile::Profile;
use serde_json::json;

use super::rig::{Rig, UUID, VMID, backend, placement, quick};
use crate::server::{Server, no, ok};

const REPORT: &str = "/run/firstlight/report.json";

fn write(rig: &Rig, bytes: &[u8]) {
    assert!(rig.sim.with_world(|world| world.machines.write_file(VMID, REPORT, bytes)));
}

#[tokio::test]
async fn a_report_is_read_byte_for_byte_and_silence_is_none() {
    // The agent comes after a second; a question to a silent one takes three, as it does.
    let profile = Profile { agent: Duration::from_secs(4), silent_agent: Duration::from_secs(3), ..quick() };
    let mut rig = Rig::with(profile, json!({}), |_| {});
    assert_eq!(rig.backend.read_report(&rig.guest).await, Ok(None), "there is no machine");
    rig.bring_up().await.unwrap();
    let asked = rig.sim.requests().len();
    assert_eq!(rig.backend.read_report(&rig.guest).await, Ok(None), "the agent is silent");
    assert_eq!(rig.sim.requests().len(), asked + 1, "silence is not asked twice");

    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(rig.backend.read_report(&rig.guest).await, Ok(None), "there is no file");
    let text = "{\"kéz\":\"ű\u{1f600}\"}\n".as_bytes().to_vec();
    for bytes in [text, vec![0, 0xff, 0xfe, b'\n'], vec![b'x'; MAX_ENVELOPE], Vec::new()] {
        write(&rig, &bytes);
        assert_eq!(rig.backend.read_report(&rig.guest).await, Ok(Some(bytes)));
    }
    write(&rig, &vec![b'x'; MAX_ENVELOPE + 2]);
    let fault = rig.backend.read_report(&rig.guest).await.unwrap_err();
    assert_eq!(fault.code, "report-unreadable", "{fault:?}");
    // The token may not ask: the beacon is another way.
    rig.sim.with_world(|world| {
        world.access.role("Firstlight", &["VM.Audit"]);
    });
    assert_eq!(rig.backend.read_report(&rig.guest).await, Ok(None));
}

#[tokio::test]
async fn a_machine_without_an_agent_has_no_report_to_read() {
    let mut rig = Rig::new(json!({}), |_| {});
    rig.bring_up().await.unwrap();
    rig.sim.with_world(|world| world.guests.get_mut(&VMID).unwrap().config.remove("agent"));
    assert_eq!(rig.backend.read_report(&rig.guest).await, Ok(None));
}

/// That the agent is silent is not that nothing is mounted.
#[tokio::test]
async fn who_would_tell_of_mounts_is_silent_or_not_there() {
    let mounts = json!({ "mounts": [{ "path": "/srv", "size_bytes": 1_u64 << 30 }] });
    let profile = Profile { agent: Duration::from_secs(3600), ..quick() };
    let mut rig = Rig::with(profile, mounts, |_| {});
    rig.bring_up().await.unwrap();
    let seen = rig.backend.observe(&rig.guest).await.unwrap();
    assert!(seen.mounts.is_empty() && seen.mounts_unseen.unwrap().passes, "it may answer in a moment");
    rig.sim.with_world(|world| world.guests.get_mut(&VMID).unwrap().config.remove("agent"));
    let seen = rig.backend.observe(&rig.guest).await.unwrap();
    assert!(!seen.mounts_unseen.unwrap().passes);
}

/// Servers of before 2026 know neither `decode` nor `count`, and give each byte as a letter.
#[tokio::test]
async fn an_older_server_is_asked_in_its_own_way() {
    let server = Server::start(|_, seen| {
        if seen.line.contains("decode=") || seen.line.contains("count=") {
            let unknown =
                "property is not defined in schema and the schema does not allow additional properties";
            let errors = json!({ "count": unknown, "decode": unknown });
            let body =
                json!({ "message": "Parameter verification failed.\n", "errors": errors, "data": null });
            return no("400 Parameter verification failed.", &body.to_string());
        }
        ok(&json!({ "content": "\u{c3}\u{a1}", "bytes-read": 2 }).to_string())
    })
    .await;
    let backend = backend(server.address.clone(), server.pin());
    let read = backend.read_report(&placement(json!({}))).await;
    assert_eq!(read, Ok(Some("á".as_bytes().to_vec())));
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn the_claim_goes_and_the_uuid_stays() {
    let mut rig = Rig::new(json!({}), |_| {});
    rig.backend.remove_claim(&rig.guest).await.unwrap();
    rig.bring_up().await.unwrap();
    let shown = |rig: &Rig| {
        rig.sim.with_world(|world| world.guests[&VMID].shown(false)["smbios1"].as_str().unwrap().to_owned())
    };
    assert!(shown(&rig).contains("serial="));
    for _ in 0..2 {
        rig.backend.remove_claim(&rig.guest).await.unwrap();
        assert_eq!(shown(&rig), format!("uuid={UUID}"), "it waits for the machine's next stop");
    }
    assert_eq!(rig.sent(Method::Put, "/config"), 1, "it is taken out once");
    assert!(rig.config("smbios1").unwrap().contains("serial="), "the running machine still has it");
    rig.undo().await;
}

#[tokio::test]
async fn somebody_who_is_faster_is_read_again() {
    use firstlight_tests::simpve::faults::{Fault, Rule};
    let mut rig = Rig::new(json!({}), |_| {});
    rig.bring_up().await.unwrap();
    let words = "checksum mismatch (file change by other user?)".to_owned();
    rig.sim.fault(Rule::once(Method::Put, "/nodes/*/qemu/*/config", Fault::Fails(words.clone())));
    rig.backend.remove_claim(&rig.guest).await.unwrap();
    assert_eq!(rig.sent(Method::Put, "/config"), 2);
    assert!(!rig.sim.with_world(|world| world.guests[&VMID].shown(false)).to_string().contains("serial="));
    // Always faster: it is said, and tried again by whoever wanted it.
    let mut rig = Rig::new(json!({}), |_| {});
    rig.bring_up().await.unwrap();
    rig.sim.fault(Rule::always(Method::Put, "/nodes/*/qemu/*/config", Fault::Fails(words)));
    let fault = rig.backend.remove_claim(&rig.guest).await.unwrap_err();
    assert_eq!(fault.code, "proxmox-changed-meanwhile", "{fault:?}");
    assert_eq!(rig.sent(Method::Put, "/config"), 3);
}
