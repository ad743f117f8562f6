//! Requests that must not overwrite one another, and what an answer takes with it.

use firstlight::job::{Asked, Event, JobStore, JournalError, Request, RequestKind};
use firstlight::outcome::Fault;
use firstlight_shared::secret::Secret;

use crate::reports::report;
use crate::rig::{Driven, Rig, create};

fn request(kind: RequestKind) -> Request {
    Request { kind, by: "me".into(), reason: "so".into() }
}

fn anew(successor: &str) -> RequestKind {
    RequestKind::Anew { successor: successor.into() }
}

/// The only job, stopped in its first step.
async fn stopped(rig: &Rig) -> Driven {
    create(&rig.store, "j1").await;
    let mut job = Driven::claim(&rig.store, "here").await;
    job.append(&rig.store, Event::StepStarted { step: "make".into() }).await.unwrap();
    let fault = Fault::new("unclear", "nobody knows");
    job.append(&rig.store, Event::NeedsOperator { fault, leftovers: vec![] }).await.unwrap();
    job
}

pub(crate) async fn one_of_two_who_ask_at_once_is_the_first(rig: &Rig) {
    let mut job = stopped(rig).await;
    let (two, three) = (request(anew("j2")), request(anew("j3")));
    let asked = tokio::join!(rig.store.ask_in_turn("j1", &two), rig.other.ask_in_turn("j1", &three));
    let first = match (asked.0.unwrap(), asked.1.unwrap()) {
        (Asked::Recorded, Asked::Already(kind)) if kind == two.kind => two,
        (Asked::Already(kind), Asked::Recorded) if kind == three.kind => three,
        other => panic!("one is recorded and both hear of it: {other:?}"),
    };
    assert_eq!(rig.store.request("j1").await.unwrap(), Some(first.clone()));
    // Answered in the journal, it counts as well.
    let RequestKind::Anew { successor } = first.kind.clone() else { panic!() };
    let fault = Fault::new("operator", "again");
    let unwind = Event::UnwindRequested { by: "me".into(), fault, successor: Some(successor) };
    job.append(&rig.store, unwind).await.unwrap();
    rig.store.settle_request(&job.lease, &first).await.unwrap();
    let late = rig.other.ask_in_turn("j1", &request(anew("j4"))).await.unwrap();
    assert_eq!(late, Asked::Already(first.kind));
    let unknown = rig.store.ask_in_turn("j9", &request(RequestKind::Retry)).await.unwrap_err();
    assert!(matches!(unknown, JournalError::NoSuchJob { .. }), "{unknown:?}");
}

pub(crate) async fn what_takes_back_overrules_and_nothing_else_overwrites(rig: &Rig) {
    use RequestKind::{Abandon, Retry, Sweep, Unwind};
    stopped(rig).await;
    // What is open, what is asked then, whether it is recorded.
    let table = [
        (Unwind, Abandon, false),
        (Unwind, anew("j2"), false),
        (Unwind, Retry, false),
        (Abandon, Unwind, false),
        (anew("j2"), Abandon, false),
        (anew("j2"), Unwind, true),
        (Retry, Abandon, false),
        (Retry, Unwind, true),
        (Sweep, Unwind, true),
        (Sweep, anew("j2"), true),
        (Unwind, Sweep, false),
        (Retry, Sweep, false),
    ];
    for (open, asked, recorded) in table {
        let (open, asked) = (request(open), request(asked));
        rig.store.ask("j1", &open).await.unwrap();
        let answer = rig.other.ask_in_turn("j1", &asked).await.unwrap();
        let wanted = if recorded { Asked::Recorded } else { Asked::Pending(open.clone()) };
        assert_eq!(answer, wanted, "{asked:?} over {open:?}");
        let counts = if recorded { asked } else { open };
        assert_eq!(rig.store.request("j1").await.unwrap(), Some(counts));
    }
}

pub(crate) async fn an_abandoned_guest_is_let_go_with_the_event(rig: &Rig) {
    let mut job = stopped(rig).await;
    rig.store.claim_for("j1", "j1", "c1", &Secret::new(vec![7; 32])).await.unwrap();
    assert!(rig.store.reserve("j1", &[("mac", "02:00".to_owned())]).await.unwrap());
    let identities = [("ssh-host-key", "k1".to_owned()), ("mac", "m1".to_owned())];
    assert!(rig.store.take_report(&report("j1", "c1", "01"), &identities).await.unwrap());
    job.append(&rig.store, Event::Abandoned { by: "me".into(), reason: String::new() }).await.unwrap();
    // Nothing else is called: whoever wrote the event may be dead by now.
    let claim = rig.other.claim("c1").await.unwrap().unwrap();
    assert!(claim.expired && claim.secret.expose().is_empty());
    assert!(rig.other.reserved_by("j1").await.unwrap().is_empty());
    assert_eq!(rig.other.sharing("j2", &identities).await.unwrap(), []);
    assert_eq!(
        rig.other.holder_of_key("k1", "j2", "j1").await.unwrap(),
        None,
        "the same guest, brought back"
    );
    assert_eq!(rig.other.holder_of_key("k1", "j2", "j2").await.unwrap().as_deref(), Some("j1"), "a copy");
}
