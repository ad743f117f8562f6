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

/// What is wrong with a page on paper: something cut, something to click, something folded.
const ON_PAPER: &str = r"
const wrong = [];
const shown = (one) => one.checkVisibility() && one.getBoundingClientRect().height > 0;
const name = (one) => `${one.tagName.toLowerCase()}#${one.id}.${one.className} ${one.textContent.slice(0, 30)}`;
for (const one of document.querySelectorAll('body *')) {
  if (!shown(one)) continue;
  if (one.getBoundingClientRect().right > innerWidth + 1) wrong.push(`beyond the edge: ${name(one)}`);
  const cuts = getComputedStyle(one).overflowX !== 'visible' && !(one instanceof SVGElement);
  if (cuts && one.scrollWidth > one.clientWidth + 1) wrong.push(`cut: ${name(one)}`);
}
for (const one of document.querySelectorAll('nav, form, button, .actions, .skip')) {
  if (shown(one)) wrong.push(`to be clicked: ${name(one)}`);
}
for (const one of document.querySelectorAll('details > :not(summary)')) {
  if (!shown(one)) wrong.push(`folded: ${name(one)}`);
}
return wrong;";

pub(crate) fn on_paper(browser: &Browser<'_>) -> Vec<String> {
    let Value::Array(wrong) = browser.run(ON_PAPER).unwrap() else { panic!("a list is wanted") };
    wrong.iter().map(Value::to_string).collect()
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
