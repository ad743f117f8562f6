//! Every page: narrow and wide, light and dark, and without scripts.

use firstlight_tests::browser::{Browser, Look};

use crate::ground::Ground;
use crate::judge;
use crate::sign_in;

const LOOKS: [(&str, Look); 4] = [
    ("wide-light", Look { width: 1600, dark: false }),
    ("wide-dark", Look { width: 1600, dark: true }),
    ("phone-light", Look { width: 320, dark: false }),
    ("phone-dark", Look { width: 320, dark: true }),
];

/// Name and path of every page. web-01 is ready by itself, web-02 said hostile things, web-03 was cancelled and waits again.
fn pages(ground: &Ground) -> Vec<(&'static str, String)> {
    let waiting = ground.job("web-03");
    vec![
        ("fleet", "/ui/".to_owned()),
        ("fleet-filtered", "/ui/?q=nobody&state=ready".to_owned()),
        ("guest", "/ui/guests/web-01".to_owned()),
        ("guest-hostile", "/ui/guests/web-02".to_owned()),
        ("jobs", "/ui/jobs".to_owned()),
        ("job", format!("/ui/jobs/{waiting}")),
        ("confirm", format!("/ui/jobs/{waiting}/cancel")),
        ("duplicates", "/ui/duplicates".to_owned()),
        ("goldens", "/ui/goldens".to_owned()),
        ("nothing", "/ui/nothing-is-here".to_owned()),
    ]
}

pub(crate) fn every_page_in_every_look(ground: &Ground, browser: &Browser<'_>) {
    judge::assert_quiet(ground, browser);
    let mut found = Vec::new();
    for (page, path) in pages(ground) {
        browser.go(&ground.page(&path)).unwrap();
        for (name, look) in LOOKS {
            browser.look(look).unwrap();
            let wrong = judge::violations(browser).into_iter().chain(judge::overflow(browser, look));
            found.extend(wrong.map(|what| format!("{page} {name}: {what}")));
            browser.picture(&Ground::picture(&format!("{page}-{name}"))).unwrap();
        }
        if page == "nothing" {
            // The browser itself tells of the answer 404.
            browser.complaints().unwrap();
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The same facts, and the same ways on.
pub(crate) fn without_scripts(ground: &Ground, browser: &Browser<'_>) {
    sign_in::by_form(ground, browser);
    browser.complaints().unwrap();
    let fleet = browser.text("#fleet").unwrap();
    assert!(fleet.contains("web-01") && fleet.contains("ready"), "{fleet}");
    assert!(browser.text("#live-state").unwrap().is_empty(), "a script ran");
    browser.picture(&Ground::picture("fleet-without-scripts")).unwrap();
    browser.click("#fleet a[href$='/web-01']").unwrap();
    browser.until("the guest's page", |page| page.has("#state").then_some(())).unwrap();
    assert!(browser.text("#state").unwrap().contains("ready"));
}
