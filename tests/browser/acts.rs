//! What an operator does on the pages, and sees happen.

use firstlight_tests::browser::{Browser, Key};

use crate::ground::{Ground, HOSTILE};

/// Is gone when the page is loaded anew.
const MARK: &str = "window.stayed = true";

fn stayed(browser: &Browser<'_>) -> bool {
    browser.run("return window.stayed === true").unwrap() == true
}

/// The row of a guest in the fleet, as people read it.
fn row(browser: &Browser<'_>, guest: &str) -> Option<String> {
    let script = format!(
        "const link = [...document.querySelectorAll('#fleet tbody th a')].find((a) => a.textContent === {guest:?}); \
         return link ? link.closest('tr').innerText : null"
    );
    browser.run(&script).unwrap().as_str().map(str::to_owned)
}

pub(crate) fn a_guest_comes_up_while_the_fleet_is_open(ground: &Ground, browser: &Browser<'_>) {
    browser.go(&ground.page("/ui/")).unwrap();
    let live = |page: &Browser<'_>| page.text("#live-state").is_ok_and(|text| text == "live").then_some(());
    browser.until("the live updates", live).unwrap();
    assert!(row(browser, "web-01").unwrap().contains("ready"), "{:?}", row(browser, "web-01"));
    assert_eq!(row(browser, "web-02"), None);
    browser.run(MARK).unwrap();

    ground.waiting("web-02");
    browser
        .until("word of a new guest", |page| {
            page.text("#news").is_ok_and(|text| !text.is_empty()).then_some(())
        })
        .unwrap();
    assert!(stayed(browser), "the page was loaded anew by itself");
    browser.click("#news a").unwrap();
    browser.until("its row", |page| row(page, "web-02")).unwrap();

    // From here on the row itself changes.
    browser.until("the live updates", live).unwrap();
    browser.run(MARK).unwrap();
    ground.speak_for("web-02", HOSTILE);
    browser
        .until("the guest to be ready", |page| row(page, "web-02").filter(|row| row.contains("ready")))
        .unwrap();
    assert!(stayed(browser), "the page was loaded anew");
}

/// What web-02 said is on its page, and is nothing but text there.
pub(crate) fn a_hostile_report_is_inert(ground: &Ground, browser: &Browser<'_>) {
    for path in ["/ui/", "/ui/guests/web-02", &format!("/ui/jobs/{}", ground.job("web-02"))] {
        browser.go(&ground.page(path)).unwrap();
        let script = "return [window.taken, document.querySelectorAll('main script, main img').length, \
                      document.querySelectorAll('[onerror]').length]";
        let found = browser.run(script).unwrap();
        assert_eq!(found, serde_json::json!([null, 0, 0]), "{path}");
        let text = browser.text("main").unwrap();
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{path}: {text}");
    }
}

pub(crate) fn a_bring_up_is_cancelled_and_begun_anew_by_clicks(ground: &Ground, browser: &Browser<'_>) {
    ground.waiting("web-03");
    browser.go(&ground.page(&format!("/ui/jobs/{}", ground.job("web-03")))).unwrap();
    browser.click("#do-cancel").unwrap();
    browser.until("to be asked", |page| page.has("#confirm").then_some(())).unwrap();
    browser.click("#reason").unwrap();
    browser.keys("the wrong golden").unwrap();
    browser.click("#confirm").unwrap();
    ground.rig.await_state("web-03", "rolled-back");
    // The page that was come back to tells by itself.
    let undone =
        |page: &Browser<'_>| page.text("#state").is_ok_and(|text| text.contains("rolled")).then_some(());
    browser.until("the page to say so", undone).unwrap();
    assert!(browser.text("#failure").unwrap().contains("the wrong golden"));

    browser.until("a way to begin anew", |page| page.has("#do-anew").then_some(())).unwrap();
    browser.click("#do-anew").unwrap();
    browser.click("#confirm").unwrap();
    ground.rig.await_state("web-03", "waiting");
}

/// Fleet, a guest, a confirmation: with Tab and Enter.
pub(crate) fn by_keyboard_alone(ground: &Ground, browser: &Browser<'_>) {
    let follow = |selector: &str, then: &str| {
        browser.tab_to(selector).unwrap();
        browser.press(Key::Enter).unwrap();
        browser.until(then, |page| page.has(then).then_some(())).unwrap();
    };
    browser.go(&ground.page("/ui/jobs")).unwrap();
    // The first stop leads past the navigation.
    browser.press(Key::Tab).unwrap();
    assert_eq!(browser.run("return document.activeElement.className").unwrap(), "skip");
    follow("nav a[href='/ui/']", "#fleet");
    follow("#fleet a[href$='/web-03']", "#do-cancel");
    follow("#do-cancel", "#confirm");
    browser.tab_to("#reason").unwrap();
    browser.keys("by keyboard").unwrap();
    browser.tab_to("#confirm").unwrap();
    browser.press(Key::Enter).unwrap();
    ground.rig.await_state("web-03", "rolled-back");
}
