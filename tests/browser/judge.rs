//! What must hold of every page: accessible, quiet, and of one origin.

use std::fs;

use firstlight_tests::browser::{Browser, Look};
use firstlight_tests::paths;
use serde_json::Value;

use crate::ground::Ground;

/// The rules of WCAG 2.2 up to AA, and what axe counts as good practice.
const RULES: &str = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']";

/// axe-core's violations, each with its place; none is wanted.
pub(crate) fn violations(browser: &Browser<'_>) -> Vec<String> {
    // By the driver: the page's own policy lets no script in.
    let axe = fs::read_to_string(paths::given(paths::AXE_VARIABLE)).unwrap();
    browser.run(&format!("if (!window.axe) {{ {axe} }}")).unwrap();
    let found = browser
        .run_async(&format!(
            "axe.run(document, {{ runOnly: {RULES} }}).then((found) => done(found.violations), (error) => done(String(error)))"
        ))
        .unwrap();
    let Value::Array(found) = found else { panic!("axe failed: {found}") };
    let told = |one: &Value| {
        let places = one["nodes"].as_array().into_iter().flatten().map(|node| {
            format!("{} {}", node["target"], node["failureSummary"].as_str().unwrap_or_default())
        });
        format!("{}: {}\n  {}", one["id"], one["help"], places.collect::<Vec<_>>().join("\n  "))
    };
    found.iter().map(told).collect()
}

/// Nothing but tables that scroll in themselves is wider than the window.
pub(crate) fn overflow(browser: &Browser<'_>, look: Look) -> Option<String> {
    let wide = browser.run("return document.documentElement.scrollWidth").unwrap().as_u64()?;
    (wide > u64::from(look.width)).then(|| format!("the page is {wide} pixels wide"))
}

/// No error or warning on the console, and no request to anybody else.
pub(crate) fn assert_quiet(ground: &Ground, browser: &Browser<'_>) {
    let complaints = browser.complaints().unwrap();
    assert!(complaints.is_empty(), "the console was told: {complaints:#?}");
    let origin = ground.origin();
    let requests = browser.requests().unwrap();
    assert!(requests.iter().any(|url| url.starts_with(&origin)), "no request was seen at all");
    let own = |url: &String| url.starts_with(&format!("{origin}/")) || url.starts_with("data:");
    let others: Vec<_> = requests.iter().filter(|url| !own(url)).collect();
    assert!(others.is_empty(), "the pages asked others: {others:#?}");
}
