//! The overview of guests, and what became of those of each golden.

use firstlight::job::{JobStore, Phase};
use firstlight::store::{FleetFilter, FleetPlace, FleetSort, Store};
use serde_json::json;

use crate::reports::{claimed, report};
use crate::rig::{Driven, Rig, new_job, spec};

/// What the backend saw of a golden.
fn marked(golden: &str) -> Option<&'static str> {
    golden.contains("one").then_some("9 bytes of 7")
}

async fn create(store: &Store, id: &str, golden: &str) {
    let spec = firstlight::job::JobSpec {
        spec: json!({ "plan": { "golden": golden }, "golden_mark": marked(golden) }),
        ..spec(id)
    };
    store.create(&[new_job(id, spec)]).await.unwrap();
}

/// `a` is ready with a report, `b` was undone, `c` and `d` are queued.
async fn four(store: &Store) {
    create(store, "a", "/g/one_1.tar").await;
    claimed(store, "a", "claim").await;
    let identities = [("mac", "02:00:00:00:00:01".to_owned()), ("hostname", "a".to_owned())];
    assert!(store.take_report(&report("a", "claim", "77"), &identities).await.unwrap());
    Driven::claim(store, "one").await.finish(store).await;
    create(store, "b", "/g/one_1.tar").await;
    Driven::claim(store, "one").await.roll_back(store).await;
    create(store, "c", "/g/two%.tar").await;
    create(store, "d", "").await;
}

pub(crate) async fn guests_are_found_sorted_and_counted(rig: &Rig) {
    four(&rig.store).await;
    let whole = FleetFilter { limit: 10, ..FleetFilter::default() };
    let by = |sort, descending| FleetFilter { sort, descending, ..whole.clone() };
    let search = |text: &str| FleetFilter { search: text.into(), ..whole.clone() };
    let golden = |text: &str| FleetFilter { golden: Some(text.into()), ..whole.clone() };
    for (filter, wanted) in [
        (whole.clone(), "acd"),
        (by(FleetSort::Name, true), "dca"),
        (by(FleetSort::State, false), "cda"),
        (by(FleetSort::State, true), "acd"),
        (by(FleetSort::Ready, false), "acd"),
        (by(FleetSort::Ready, true), "acd"),
        (by(FleetSort::Report, false), "acd"),
        (by(FleetSort::Report, true), "acd"),
        (by(FleetSort::Made, true), "acd"),
        (search("C"), "c"),
        (search("_"), ""),
        (search("02:00:00:00:00:01"), "a"),
        (search("02:00:00:00:00:0"), ""),
        (golden("one_"), "a"),
        (golden("%"), "c"),
        (golden("oneX"), ""),
        (FleetFilter { states: vec![Phase::Done, Phase::RolledBack], ..whole.clone() }, "a"),
        (FleetFilter { backend: Some("other".into()), ..whole.clone() }, ""),
    ] {
        let (rows, next) = rig.other.fleet(&filter).await.unwrap();
        let found: String = rows.iter().map(|row| row.job.guest.as_str()).collect();
        assert_eq!((found.as_str(), next), (wanted, None), "{filter:?}");
    }
    let (rows, _) = rig.store.fleet(&whole).await.unwrap();
    assert_eq!(rows[0].golden.as_deref(), Some("/g/one_1.tar"));
    assert_eq!((rows[0].report.clone(), rows[2].golden.clone()), (Some(("77".to_owned(), 5077)), None));

    // One at a time, each once, in any order.
    for (sort, descending) in [
        (FleetSort::Name, false),
        (FleetSort::Name, true),
        (FleetSort::Report, true),
        (FleetSort::State, false),
    ] {
        let (mut after, mut found): (Option<FleetPlace>, String) = (None, String::new());
        loop {
            let filter = FleetFilter { after, limit: 1, ..by(sort, descending) };
            let (rows, next) = rig.store.fleet(&filter).await.unwrap();
            found.extend(rows.iter().map(|row| row.job.guest.as_str()));
            after = next;
            if after.is_none() {
                break;
            }
        }
        let (rows, _) = rig.store.fleet(&by(sort, descending)).await.unwrap();
        let whole: String = rows.iter().map(|row| row.job.guest.as_str()).collect();
        assert_eq!(found, whole, "{sort:?} {descending}");
    }

    let mut counts = rig.store.count_fleet().await.unwrap();
    counts.sort_by_key(|count| count.count);
    let counts: Vec<(Phase, u64)> = counts.into_iter().map(|count| (count.phase, count.count)).collect();
    assert_eq!(counts, [(Phase::Done, 1), (Phase::Queued, 2)]);
    let ids: Vec<String> = ["a", "b", "x"].map(str::to_owned).to_vec();
    let there = rig.store.fleet_of_jobs(&ids).await.unwrap();
    assert_eq!(there.len(), 1, "b is gone, x never was: {there:?}");
    assert_eq!(rig.store.jobs_of(&ids).await.unwrap().len(), 2);
    let texts = rig.store.report_texts(&ids).await.unwrap();
    assert_eq!(texts, [("77".to_owned(), "{\"signed\": \"bytes\"}".to_owned())]);
}

pub(crate) async fn goldens_tell_of_their_guests(rig: &Rig) {
    four(&rig.store).await;
    let runs = rig.other.golden_runs(10).await.unwrap();
    let told: Vec<_> =
        runs.iter().map(|run| (run.golden.as_str(), run.phase, run.ready_ms.is_some(), run.failed)).collect();
    let wanted = [
        ("/g/two%.tar", Phase::Queued, false, false),
        ("/g/one_1.tar", Phase::RolledBack, false, true),
        ("/g/one_1.tar", Phase::Done, true, false),
    ];
    assert_eq!(told, wanted);
    for run in &runs {
        assert_eq!(run.mark.as_deref(), marked(&run.golden));
    }
    assert_eq!((runs[0].job.as_str(), runs[2].job.as_str()), ("c", "a"));
    assert_eq!(rig.store.golden_runs(1).await.unwrap().len(), 0, "the newest names none");
}
