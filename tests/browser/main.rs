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
        looks::every_page_in_every_look(&ground, &browser);
        judge::assert_quiet(&ground, &browser);
    }
    {
        let browser = Browser::open(&driver).unwrap();
        sign_in::by_keyboard_alone(&ground, &browser);
        acts::by_keyboard_alone(&ground, &browser);
        judge::assert_quiet(&ground, &browser);
    }
    let browser = Browser::open(&driver).unwrap();
    browser.without_scripts().unwrap();
    looks::without_scripts(&ground, &browser);
    judge::assert_quiet(&ground, &browser);
}
