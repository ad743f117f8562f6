//! Messages about ends of jobs: written with the end, taken by one, told at least once.

use std::time::Duration;

use firstlight::job::Event;
use firstlight::outcome::Fault;
use firstlight::store::{Message, Posted, Settled};

use crate::rig::{Driven, Rig, create};

const LONG: Duration = Duration::from_secs(60);

async fn ready(rig: &Rig, id: &str) -> Driven {
    create(&rig.store, id).await;
    let mut job = Driven::claim(&rig.store, "here").await;
    for step in ["make", "await", "finish"] {
        job.step(&rig.store, step).await;
    }
    job
}

async fn taken(store: &firstlight::store::Store, target: &str) -> Vec<Message> {
    store.take_messages(target, 10, LONG).await.unwrap()
}

pub(crate) async fn an_end_is_told_to_each_target_and_nothing_else_is(rig: &Rig) {
    rig.store.tell(vec!["webhook:a".into(), "webhook:b".into()]);
    let mut job = ready(rig, "j1").await;
    let kept = Event::Kept { by: "the suite".into(), until_ms: None, promoted: false };
    job.append(&rig.store, kept).await.unwrap();
    let first = taken(&rig.store, "webhook:a").await;
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!((first[0].job.as_str(), first[0].seq, first[0].tries), ("j1", 6, 1));
    assert_eq!(first[0].id, taken(&rig.other, "webhook:b").await[0].id, "both speak of the same");
    assert!(taken(&rig.store, "webhook:c").await.is_empty());

    // Whoever tells nobody writes nothing.
    rig.store.tell(Vec::new());
    let fault = Fault::new("operator", "enough");
    let unwind = Event::UnwindRequested { by: "the suite".into(), fault: fault.clone(), successor: None };
    job.append(&rig.store, unwind).await.unwrap();
    let gone = Event::NeedsOperator { fault, leftovers: vec![] };
    job.append(&rig.store, gone).await.unwrap();
    assert_eq!(rig.store.list_messages(None, 0).await.unwrap().len(), 2);
}

pub(crate) async fn a_message_belongs_to_one_companion_at_a_time(rig: &Rig) {
    rig.store.tell(vec!["webhook:a".into()]);
    ready(rig, "j1").await;
    let (one, other) = tokio::join!(taken(&rig.store, "webhook:a"), taken(&rig.other, "webhook:a"));
    assert_eq!(one.len() + other.len(), 1, "{one:?} {other:?}");
    let message = one.into_iter().chain(other).next().unwrap();
    assert!(taken(&rig.other, "webhook:a").await.is_empty());

    // It is put off, and comes again.
    let again = Settled::Again { after: Duration::ZERO, error: "it says 500".into() };
    rig.store.settle_message(&message, Some("guest.ready"), &again).await.unwrap();
    let second = taken(&rig.other, "webhook:a").await;
    assert_eq!(second[0].tries, 2);
    // Who took it first is too late to say anything about it.
    rig.store.settle_message(&message, Some("guest.ready"), &Settled::Sent).await.unwrap();
    let row = rig.store.list_messages(Some("webhook:a"), 0).await.unwrap().remove(0);
    assert_eq!((row.state, row.error.as_deref()), (Posted::Waiting, Some("it says 500")));
    assert_eq!((row.guest.as_deref(), row.what.as_deref(), row.tries), (Some("j1"), Some("guest.ready"), 2));
    rig.other.settle_message(&second[0], Some("guest.ready"), &Settled::Sent).await.unwrap();
    assert!(taken(&rig.store, "webhook:a").await.is_empty());
    let row = rig.store.list_messages(None, 0).await.unwrap().remove(0);
    assert!(row.state == Posted::Sent && row.ended_at_ms.is_some() && row.error.is_none(), "{row:?}");
    assert_eq!(rig.store.count_messages().await.unwrap(), [("webhook:a".to_owned(), Posted::Sent, 1)]);
}

pub(crate) async fn a_message_whose_sender_died_comes_again(rig: &Rig) {
    rig.store.tell(vec!["webhook:a".into()]);
    ready(rig, "j1").await;
    let held = rig.store.take_messages("webhook:a", 10, Duration::from_millis(300)).await.unwrap();
    assert_eq!(held.len(), 1);
    assert!(taken(&rig.other, "webhook:a").await.is_empty());
    tokio::time::sleep(Duration::from_millis(400)).await;
    let again = taken(&rig.other, "webhook:a").await;
    assert_eq!((again[0].id.as_str(), again[0].tries), (held[0].id.as_str(), 2));
}

pub(crate) async fn messages_are_given_up_tried_anew_and_forgotten(rig: &Rig) {
    rig.store.put_test("webhook:a", "test-1").await.unwrap();
    rig.store.put_test("webhook:a", "test-1").await.unwrap();
    let message = taken(&rig.store, "webhook:a").await.remove(0);
    assert_eq!(message.job, "");
    let given_up = Settled::GivenUp { error: "it wants no more".into() };
    rig.store.settle_message(&message, None, &given_up).await.unwrap();
    assert!(taken(&rig.store, "webhook:a").await.is_empty());
    assert_eq!(rig.store.retry_messages("webhook:b").await.unwrap(), 0);
    assert_eq!(rig.store.retry_messages("webhook:a").await.unwrap(), 1);
    let message = taken(&rig.other, "webhook:a").await.remove(0);
    rig.store.settle_message(&message, None, &Settled::Sent).await.unwrap();
    assert_eq!(rig.store.retry_messages("webhook:a").await.unwrap(), 0, "what was taken is not sent again");
    assert_eq!(rig.store.prune_messages(LONG, LONG).await.unwrap(), 0);

    rig.store.put_test("webhook:gone", "test-2").await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    rig.store.prune_messages(Duration::ZERO, LONG).await.unwrap();
    let rows = rig.store.list_messages(Some("webhook:gone"), 0).await.unwrap();
    assert!(rows[0].state == Posted::GivenUp && rows[0].error.as_deref().unwrap().contains("no companion"));
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(rig.store.prune_messages(LONG, Duration::ZERO).await.unwrap(), 2);
    assert!(rig.store.list_messages(None, 0).await.unwrap().is_empty());
}
