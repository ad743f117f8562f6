//! A small fleet of every kind of guest, with a kill and a cut: every guest is accounted for. `cargo xtask fleet` is the
//! same with many.

use std::time::Duration;

use crate::simulation::{Run, Store, run};

async fn every_guest_is_accounted_for(store: Store, faults: usize, stay: Option<Duration>) {
    let wanted = Run { guests: 200, seed: 9, store, faults, within: Duration::ZERO, stay };
    let outcome = run(&wanted).await;
    assert!(outcome.findings.is_empty(), "{:#?}", outcome.findings);
    let states: &[&str] = if stay.is_none() { &["done", "rolled-back"] } else { &["rolled-back"] };
    assert_eq!(outcome.states.keys().collect::<Vec<_>>(), states);
    assert_eq!(outcome.states.values().sum::<usize>(), 200);
    assert!(outcome.answered > 200 && outcome.refused > 20, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_companion_that_is_killed_and_cut_off() {
    every_guest_is_accounted_for(Store::Sqlite, 2, None).await;
}

/// Whoever becomes ready is destroyed when its time is over, whatever happens to the companion meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_guests_that_leave_again() {
    if std::env::var_os("FIRSTLIGHT_FULL").is_some() {
        every_guest_is_accounted_for(Store::Sqlite, 4, Some(Duration::from_secs(30))).await;
    }
}

/// A kill of a companion and of the database, a companion that stands still, and lines that fail. The other tests here have
/// each of these alone; this is longer than all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_three_companions_on_a_database_that_are_all_struck() {
    if std::env::var_os("FIRSTLIGHT_FULL").is_some() {
        every_guest_is_accounted_for(Store::Postgresql, 10, None).await;
    }
}
