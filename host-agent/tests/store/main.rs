//! The store's suite: the same cases against the embedded SQLite and, with the feature `e2e`, a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "in tests, a panic with its place is the message")]

#[cfg(feature = "e2e")]
#[path = "../postgres/mod.rs"]
mod postgres;

mod admin;
mod candidates;
mod census;
mod certificates;
mod duplicates;
mod embedded;
mod figures;
mod fleet;
mod jobs;
mod leases;
mod outbox;
mod queue;
mod reports;
mod requests;
mod rig;
mod verdicts;
mod wakeups;

#[cfg(feature = "e2e")]
mod server;

/// Each case once per database.
macro_rules! suite {
    ($($part:ident :: $case:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$part::$case(&super::rig::Rig::sqlite().await).await;
            })*
        }

        #[cfg(feature = "e2e")]
        mod postgresql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$part::$case(&super::rig::Rig::postgresql(stringify!($case)).await).await;
            })*
        }
    };
}

suite! {
    outbox::an_end_is_told_to_each_target_and_nothing_else_is,
    outbox::a_message_belongs_to_one_companion_at_a_time,
    outbox::a_message_whose_sender_died_comes_again,
    outbox::messages_are_given_up_tried_anew_and_forgotten,
    census::guests_are_counted_by_kind,
    census::who_let_go_of_its_name_is_no_guest,
    candidates::an_open_claim_keeps_a_few_reports_until_one_is_chosen,
    candidates::a_guest_known_by_its_beacon_alone_has_trust_and_identities,
    fleet::guests_are_found_sorted_and_counted,
    fleet::goldens_tell_of_their_guests,
    jobs::a_journal_comes_back_as_it_was_written,
    jobs::no_number_is_taken_twice_and_none_is_left_out,
    jobs::an_append_whose_answer_was_lost_can_be_repeated,
    jobs::jobs_are_made_all_or_none,
    jobs::one_guest_has_one_live_job_whoever_makes_it,
    jobs::requests_survive_and_the_latest_counts,
    jobs::lists_come_page_by_page,
    jobs::the_gone_and_the_unknown_are_told_apart_from_the_living,
    requests::one_of_two_who_ask_at_once_is_the_first,
    requests::what_takes_back_overrules_and_nothing_else_overwrites,
    requests::an_abandoned_guest_is_let_go_with_the_event,
    queue::what_is_to_be_tried_again_waits_for_a_place,
    leases::an_overtaken_lease_writes_nothing,
    leases::a_lease_ends_with_its_grace_and_not_before,
    leases::a_released_job_is_free_at_once,
    leases::renewals_say_what_is_lost,
    leases::a_final_job_is_claimed_only_when_somebody_asks,
    queue::two_companions_share_two_hundred_jobs_within_the_limits,
    queue::batches_take_turns,
    queue::a_claimed_job_has_its_place_before_it_begins,
    queue::a_long_queue_is_taken_in_parts_and_each_part_calls_for_the_next,
    queue::what_a_companion_left_is_taken_over_in_parts_as_well,
    queue::what_has_begun_comes_before_what_waits,
    certificates::certificates_are_revoked_with_their_guest,
    reports::a_claim_is_made_once_per_job,
    reports::a_claim_is_answered_once,
    reports::identities_and_host_keys_find_their_holders,
    reports::reports_and_refusals_are_listed,
    reports::a_guest_refused_for_good_is_remembered,
    reports::a_flood_of_one_guest_is_bounded,
    duplicates::what_two_guests_share_is_found_for_ever,
    duplicates::shared_identities_come_page_by_page,
    duplicates::a_claim_that_is_used_from_elsewhere_is_shared,
    verdicts::the_newest_verdict_of_each_golden_is_kept,
    verdicts::verdicts_of_long_ago_are_forgotten,
    duplicates::a_copy_that_reported_is_listed_with_its_guest,
    wakeups::every_commit_is_heard_of,
    wakeups::what_was_not_committed_is_not_told,
    admin::all_companions_get_the_same_listener_key,
    admin::pruning_keeps_whatever_still_is,
    admin::what_is_asked_while_pruning_goes_on_is_not_lost,
    admin::an_export_can_be_read_again,
    admin::a_sound_store_has_no_problems_and_a_false_state_is_found,
}
