//! Delivery against real servers whose answers are scripted.

use std::net::TcpListener;

use firstlight_shared::pin::SpkiPin;

use super::*;
use crate::channel::tests::{ack, ack_text, envelope, refusal, serve_tls, serve_unix};

fn run_delivery(channels: &[&Channel], give_up_after: Duration) -> (ReportEnd, Delivery) {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::open(folder.path()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let envelope = envelope();
    let claim_source = Some(Source::Environment);
    let parcel = Parcel { envelope: &envelope, ready: true, claim_source, give_up_after };
    let channels = channels.iter().copied().cloned().collect();
    let end = runtime.block_on(deliver(&machine, channels, parcel));
    (end, load(&machine.root).unwrap())
}

fn nowhere() -> Channel {
    Channel::Unix("/nonexistent/host.sock".to_owned())
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn the_pinned_host_acknowledges() {
    let server = serve_tls(vec![ack()]);
    let (end, delivery) = run_delivery(&[&server.channel], LONG);
    assert_eq!((end, delivery.state), (ReportEnd::Done, DeliveryState::Acknowledged));
    assert_eq!(delivery.channels[0].attempt_count, 1);
    assert_eq!(delivery.claim_source, Some(Source::Environment));
    assert_eq!(server.thread.join().unwrap(), [serde_json::to_vec(&envelope()).unwrap()]);
}

#[test]
fn trouble_is_retried_with_the_same_bytes() {
    let other = Some((200, ack_text("other")));
    let answers = vec![Some((503, String::new())), None, refusal(500), Some((404, "?".into())), other, ack()];
    let count = answers.len();
    let server = serve_tls(answers);
    let (end, delivery) = run_delivery(&[&server.channel], LONG);
    assert_eq!(end, ReportEnd::Done, "{delivery:?}");
    let bodies = server.thread.join().unwrap();
    assert_eq!(bodies.len(), count);
    assert!(bodies.iter().all(|body| *body == bodies[0]));
    assert!(delivery.channels[0].attempts[0].result.contains("503"), "{delivery:?}");
}

#[test]
fn a_refusal_is_final() {
    let server = serve_tls(vec![refusal(409)]);
    let (end, delivery) = run_delivery(&[&server.channel], LONG);
    assert_eq!((end, delivery.state), (ReportEnd::Refused, DeliveryState::Refused));
    assert!(delivery.is_final());
    assert_eq!(delivery.refusal.unwrap().code, "claim-used");
}

#[test]
fn the_first_acknowledgement_ends_the_others_and_every_attempt_is_noted() {
    let server = serve_unix(vec![Some((503, String::new())), ack()]);
    let nowhere = nowhere();
    let (end, delivery) = run_delivery(&[&nowhere, &server.channel], LONG);
    assert_eq!((end, delivery.state), (ReportEnd::Done, DeliveryState::Acknowledged));
    assert_eq!(delivery.channels[1].attempt_count, 2);
    assert_eq!(delivery.channels[0].channel, "unix:/nonexistent/host.sock");
    assert!(delivery.channels[0].attempt_count >= 1 && delivery.channels[0].state == ChannelState::Trying);
}

#[test]
fn one_hosts_refusal_does_not_outvote_anothers_acknowledgement() {
    let (no, yes) = (serve_unix(vec![refusal(409)]), serve_tls(vec![ack()]));
    let (end, delivery) = run_delivery(&[&no.channel, &yes.channel], LONG);
    assert_eq!((end, delivery.state), (ReportEnd::Done, DeliveryState::Acknowledged), "{delivery:?}");
}

#[test]
fn a_channel_that_leads_nowhere_does_not_hold_a_refusal_back() {
    let server = serve_unix(vec![refusal(409)]);
    let watch = Stopwatch::start();
    let nowhere = nowhere();
    let (end, delivery) = run_delivery(&[&nowhere, &server.channel], Duration::from_secs(600));
    assert_eq!((end, delivery.state), (ReportEnd::Refused, DeliveryState::Refused));
    assert!(watch.elapsed() < ATTEMPT_LIMIT, "{delivery:?}");
}

#[test]
fn incus_is_told_beside_the_host_and_is_no_host_itself() {
    use crate::dev_incus::tests::{answer, serve};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sock");
    let incus = Channel::Incus(path.to_str().unwrap().to_owned());
    let told = serve(&path, vec![answer(500, ""), answer(200, "")]);
    let server = serve_unix(vec![ack()]);
    let (end, delivery) = run_delivery(&[&incus, &server.channel], LONG);
    assert_eq!((end, delivery.state), (ReportEnd::Done, DeliveryState::Acknowledged));
    assert_eq!(delivery.channels[0].state, ChannelState::Told, "{delivery:?}");
    assert_eq!(told.join().unwrap().len(), 2);
    std::fs::remove_file(&path).unwrap();
    let told = serve(&path, vec![answer(200, "")]);
    let (end, delivery) = run_delivery(&[&incus], LONG);
    assert_eq!((end, delivery.state), (ReportEnd::Done, DeliveryState::NoHost));
    assert!(!delivery.is_final());
    told.join().unwrap();
}

#[test]
fn another_key_gets_nothing_and_both_pins_are_shown() {
    let server = serve_tls(vec![ack()]);
    let Channel::Https { address, pin: right } = server.channel else { unreachable!() };
    let pin = SpkiPin::of(b"another");
    let (end, delivery) = run_delivery(&[&Channel::Https { address, pin }], Duration::ZERO);
    assert_eq!((end, delivery.state), (ReportEnd::GaveUp, DeliveryState::GaveUp));
    let result = &delivery.channels[0].attempts[0].result;
    assert!(result.contains(&pin.to_string()), "{result}");
    assert!(result.contains(&right.to_string()), "{result}");
    assert_eq!(server.thread.join().unwrap(), Vec::<Vec<u8>>::new());
}

#[test]
fn nobody_there_ends_in_giving_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let channel = Channel::Https { address: listener.local_addr().unwrap(), pin: SpkiPin::of(b"x") };
    drop(listener);
    let (end, delivery) = run_delivery(&[&channel, &nowhere()], Duration::from_millis(300));
    assert_eq!((end, delivery.state), (ReportEnd::GaveUp, DeliveryState::GaveUp));
    assert!(delivery.channels.iter().all(|log| log.attempt_count > 1), "{delivery:?}");
    assert!(delivery.channels.iter().all(|log| log.state == ChannelState::GaveUp), "{delivery:?}");
}

#[test]
fn without_a_channel_the_report_stays_where_it_is() {
    let (end, delivery) = run_delivery(&[], LONG);
    assert_eq!((end, delivery.state), (ReportEnd::Done, DeliveryState::NoHost));
}

#[test]
fn the_log_stays_short() {
    let (_, mut delivery) = run_delivery(&[&nowhere()], Duration::ZERO);
    let log = &mut delivery.channels[0];
    for at_ms in 0..100 {
        log.note(Attempt { at_ms, elapsed_ms: 0, result: String::new() });
    }
    assert_eq!((log.attempts.len(), log.attempt_count), (KEPT_ATTEMPTS, 101));
    assert_eq!(log.attempts.last().unwrap().at_ms, 99);
}
