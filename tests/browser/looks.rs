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

/// Pixels between the margins of A4.
const PAPER: u32 = 718;

/// Name and path of every page. web-01 is ready by itself, web-02 said hostile things, web-03 was cancelled and waits again,
/// web-04 is not heard of, web-05 and web-06 failed with hostile words.
fn pages(ground: &Ground) -> Vec<(&'static str, String)> {
    let (waiting, stuck) = (ground.job("web-03"), ground.job("web-05"));
    vec![
        ("fleet", "/ui/".to_owned()),
        ("fleet-filtered", "/ui/?q=nobody&state=ready".to_owned()),
        ("guest", "/ui/guests/web-01".to_owned()),
        ("guest-hostile", "/ui/guests/web-02".to_owned()),
        ("guest-stuck", format!("/ui/guests/{stuck}")),
        ("jobs", "/ui/jobs?state=all".to_owned()),
        ("jobs-none", "/ui/jobs?state=queued".to_owned()),
        ("job-stuck", format!("/ui/jobs/{stuck}")),
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
        browser.look_printed(PAPER).unwrap();
        found.extend(judge::on_paper(browser).into_iter().map(|what| format!("{page} printed: {what}")));
        browser.picture(&Ground::picture(&format!("{page}-print"))).unwrap();
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

/// `report --html`: one file that asks nobody for anything, opened from a disk.
pub(crate) fn a_report_that_was_kept_as_a_file(ground: &Ground, browser: &Browser<'_>) {
    for guest in ["web-01", "web-05"] {
        let file = ground.rig.path(&format!("{guest}.html"));
        let path = file.display().to_string();
        let written = ground.rig.run(&["report", guest, "--html", &path]);
        assert!(written.ok(), "{}", written.said());
        browser.go(&format!("file://{path}")).unwrap();
        assert!(browser.text("h1").unwrap().contains(guest));
        let mut found = Vec::new();
        for (name, look) in LOOKS {
            browser.look(look).unwrap();
            found.extend(judge::violations(browser).into_iter().chain(judge::overflow(browser, look)));
            browser.picture(&Ground::picture(&format!("file-{guest}-{name}"))).unwrap();
        }
        browser.look_printed(PAPER).unwrap();
        found.extend(judge::on_paper(browser));
        browser.picture(&Ground::picture(&format!("file-{guest}-print"))).unwrap();
        assert!(found.is_empty(), "{guest}: {}", found.join("\n"));
        assert_eq!(browser.run("return window.taken === undefined").unwrap(), true, "{guest}");
    }
    let complaints = browser.complaints().unwrap();
    assert!(complaints.is_empty(), "{complaints:#?}");
    let others: Vec<_> =
        browser.requests().unwrap().into_iter().filter(|url| !url.starts_with("file://")).collect();
    assert!(others.is_empty(), "the file asked for {others:#?}");
}
