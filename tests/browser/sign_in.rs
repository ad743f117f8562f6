//! The ways in.

use firstlight_tests::browser::{Browser, Key};

use crate::ground::{Ground, TOKEN};

/// The link that `firstlight web open` printed: one click for people, none with a script.
pub(crate) fn by_link(ground: &Ground, browser: &Browser<'_>) {
    browser.go(ground.link()).unwrap();
    browser.until("the fleet", |page| page.has("#fleet").then_some(())).unwrap();
    let url = browser.url().unwrap();
    assert!(!url.contains("code") && url.starts_with(&ground.origin()), "{url}");
    // It is good once.
    browser.go(ground.link()).unwrap();
    assert!(!browser.has("#fleet"), "{}", browser.url().unwrap());
    browser.complaints().unwrap(); // a refusal is told by the console, too
}

/// Whoever is not signed in lands at the form, and goes on where they wanted to.
pub(crate) fn by_keyboard_alone(ground: &Ground, browser: &Browser<'_>) {
    browser.go(&ground.page("/ui/jobs")).unwrap();
    browser.tab_to("#token").unwrap();
    browser.keys(TOKEN).unwrap();
    browser.press(Key::Enter).unwrap();
    browser.until("the jobs", |page| page.has("#jobs").then_some(())).unwrap();
    browser.complaints().unwrap();
}

/// For a browser that runs no script: the form, by hand.
pub(crate) fn by_form(ground: &Ground, browser: &Browser<'_>) {
    browser.go(&ground.page("/ui/")).unwrap();
    browser.click("#token").unwrap();
    browser.keys(TOKEN).unwrap();
    browser.click("#sign-in").unwrap();
    browser.until("the fleet", |page| page.has("#fleet").then_some(())).unwrap();
}

/// With an operator's token, and the wish to change nothing.
pub(crate) fn to_look_only(ground: &Ground, browser: &Browser<'_>) {
    browser.go(&ground.page("/ui/")).unwrap();
    browser.picture(&Ground::picture("sign-in")).unwrap();
    browser.click("#token").unwrap();
    browser.keys(TOKEN).unwrap();
    browser.click("#read-only").unwrap();
    browser.click("#sign-in").unwrap();
    browser.until("the fleet", |page| page.has("#fleet").then_some(())).unwrap();
    browser.complaints().unwrap();
}
