//! The companion's pages in a real browser, with real guests behind them. Run by `cargo xtask test`.
//!
//! One companion, one set of guests and one driver serve all that is looked at, in the order of a visit: guests take longer
//! to come up than pages to be looked at.

#![allow(clippy::unwrap_used, reason = "in tests, a panic with its place is the message")]

mod acts;
mod ground;
mod judge;
mod looks;
mod sign_in;

use firstlight_tests::browser::{Browser, Driver};

use ground::Ground;

#[test]
fn the_pages_work_in_a_real_browser() {
    let ground = Ground::new();
    let driver = Driver::start().unwrap();
    {
        let browser = Browser::open(&driver).unwrap();
        sign_in::by_link(&ground, &browser);
        acts::a_guest_comes_up_while_the_fleet_is_open(&ground, &browser);
        acts::a_hostile_report_is_inert(&ground, &browser);
        acts::a_bring_up_is_cancelled_and_begun_anew_by_clicks(&ground, &browser);
        acts::a_failed_bring_up_is_tried_again_and_begun_anew(&ground, &browser);
        acts::hostile_failures_are_inert_on_every_page(&ground, &browser);
        looks::every_page_in_every_look(&ground, &browser);
        judge::assert_quiet(&ground, &browser);
        looks::a_report_that_was_kept_as_a_file(&ground, &browser);
    }
    {
        let browser = Browser::open(&driver).unwrap();
        sign_in::to_look_only(&ground, &browser);
        acts::whoever_may_only_look_changes_nothing(&ground, &browser);
        judge::assert_quiet(&ground, &browser);
    }
    {
        let browser = Browser::open(&driver).unwrap();
        sign_in::by_keyboard_alone(&ground, &browser);
        acts::a_fleet_is_searched_by_keyboard(&ground, &browser);
        acts::by_keyboard_alone(&ground, &browser);
        judge::assert_quiet(&ground, &browser);
    }
    let browser = Browser::open(&driver).unwrap();
    browser.without_scripts().unwrap();
    looks::without_scripts(&ground, &browser);
    judge::assert_quiet(&ground, &browser);
}
