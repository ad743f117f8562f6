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

/// Whatever a guest said is text on a page, and nothing else.
fn assert_inert(ground: &Ground, browser: &Browser<'_>, path: &str) {
    browser.go(&ground.page(path)).unwrap();
    let script = "return [window.taken, document.querySelectorAll('main script, main img').length, \
                  document.querySelectorAll('[onerror]').length]";
    let found = browser.run(script).unwrap();
    assert_eq!(found, serde_json::json!([null, 0, 0]), "{path}");
    let text = browser.text("main").unwrap();
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{path}: {text}");
}

pub(crate) fn a_hostile_report_is_inert(ground: &Ground, browser: &Browser<'_>) {
    for path in ["/ui/", "/ui/guests/web-02", &format!("/ui/jobs/{}", ground.job("web-02"))] {
        assert_inert(ground, browser, path);
    }
}

/// Two that fail with hostile words, and share a hostile name: these words are on every page.
pub(crate) fn hostile_failures_are_inert_on_every_page(ground: &Ground, browser: &Browser<'_>) {
    for guest in ["web-05", "web-06"] {
        ground.waiting(guest);
        ground.speak_badly_for(guest, HOSTILE);
        ground.rig.await_state(guest, "needs-operator");
    }
    let job = ground.job("web-05");
    let (job, guest) = (format!("/ui/jobs/{job}"), format!("/ui/guests/{job}"));
    for path in ["/ui/", "/ui/jobs?state=all", "/ui/duplicates", &job, &guest] {
        assert_inert(ground, browser, path);
        let text = browser.text("main").unwrap();
        assert!(text.contains("<script>window.taken=1</script>"), "{path}: {text}");
        assert!(text.len() < 40_000, "{path}: {} bytes", text.len());
    }
    browser.go(&ground.page("/ui/duplicates")).unwrap();
    let text = browser.text("main").unwrap();
    for words in ["machine-id", "hostname", "web-05", "web-06", "shared now", "What to do:"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let ran = ground.rig.run(&["duplicates"]);
    assert!(ran.code == 1 && !ran.stdout.contains(['\u{1b}', '\u{202e}']), "{}", ran.said());
}

/// A bring-up that failed: found on top of the fleet, its step tried again, then all of it, by clicks.
pub(crate) fn a_failed_bring_up_is_tried_again_and_begun_anew(ground: &Ground, browser: &Browser<'_>) {
    ground.unheard("web-04");
    let first = ground.job("web-04");
    browser.go(&ground.page("/ui/")).unwrap();
    assert!(browser.text("#attention").unwrap().contains("web-04"));
    browser.go(&ground.page(&format!("/ui/jobs/{first}"))).unwrap();
    assert!(browser.text("#failure").unwrap().contains("What to do:"));
    assert!(browser.text("#leftovers").unwrap().contains("firstlight"));
    let is = |word: &'static str| {
        move |page: &Browser<'_>| page.text("#state").is_ok_and(|text| text.contains(word)).then_some(())
    };
    browser.click("#do-retry").unwrap();
    browser.until("to be asked", |page| page.has("#confirm").then_some(())).unwrap();
    assert_eq!(browser.text("#confirm").unwrap(), "Try again");
    browser.click("#confirm").unwrap();
    // The page tells by itself that it goes on, and that this was in vain.
    browser.until("the step to be at work again", is("waiting")).unwrap();
    browser.until("the step to fail again", is("needs operator")).unwrap();

    browser.click("#do-anew").unwrap();
    browser.click("#confirm").unwrap();
    // Back on the page of the first, which says when there is another.
    browser.until("to be back", |page| page.has("#said").then_some(())).unwrap();
    browser.click("#successor").unwrap();
    let is_next = |page: &Browser<'_>| page.url().is_ok_and(|url| !url.contains(&first)).then_some(());
    browser.until("the successor's page", is_next).unwrap();
    assert!(browser.has(&format!("dl.facts a[href='/ui/jobs/{first}']")), "it repeats the first");
    browser.until("it to wait for its guest", is("waiting")).unwrap();
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

/// Searched, filtered and sorted, with the keyboard alone.
pub(crate) fn a_fleet_is_searched_by_keyboard(ground: &Ground, browser: &Browser<'_>) {
    browser.go(&ground.page("/ui/")).unwrap();
    browser.tab_to("#q").unwrap();
    browser.keys("web-0").unwrap();
    browser.tab_to("#state").unwrap();
    browser.keys("Rea").unwrap();
    browser.tab_to("#filter-go").unwrap();
    browser.press(Key::Enter).unwrap();
    let at = |part: &'static str| move |page: &Browser<'_>| page.url().ok()?.contains(part).then_some(());
    browser.until("what was looked for", at("state=ready")).unwrap();
    let names = "return [...document.querySelectorAll('#fleet tbody th a')].map((a) => a.textContent)";
    assert_eq!(browser.run(names).unwrap(), serde_json::json!(["web-01", "web-02"]));
    browser.tab_to("#fleet thead a").unwrap();
    browser.press(Key::Enter).unwrap();
    let turned = |page: &Browser<'_>| page.has("th[aria-sort=descending]").then_some(());
    browser.until("the other order", turned).unwrap();
    assert_eq!(browser.run(names).unwrap(), serde_json::json!(["web-02", "web-01"]));
    browser.tab_to("#filter-clear").unwrap();
    browser.press(Key::Enter).unwrap();
    browser.until("all of them", |page| row(page, "web-03")).unwrap();
}

/// Whoever may only look finds nothing to press, and is refused.
pub(crate) fn whoever_may_only_look_changes_nothing(ground: &Ground, browser: &Browser<'_>) {
    let job = ground.job("web-01");
    for path in [format!("/ui/jobs/{job}"), "/ui/guests/web-01".to_owned()] {
        browser.go(&ground.page(&path)).unwrap();
        assert!(browser.text("#state").unwrap().contains("ready") && !browser.has("[id^=do-]"), "{path}");
    }
    let ask = format!(
        "const csrf = document.querySelector('[name=csrf]').value; \
         fetch('/ui/jobs/{job}/destroy', {{ method: 'POST', body: new URLSearchParams({{ csrf }}) }}) \
         .then((answer) => done(answer.status), (error) => done(String(error)))"
    );
    assert_eq!(browser.run_async(&ask).unwrap(), 403);
    browser.go(&ground.page(&format!("/ui/jobs/{job}/destroy"))).unwrap();
    assert!(browser.text("main").unwrap().contains("your role may look and change nothing"));
    assert!(!browser.has("#confirm"));
    browser.complaints().unwrap(); // both refusals are told by the console
    assert_eq!(ground.rig.job_state("web-01").as_deref(), Some("done"));
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
