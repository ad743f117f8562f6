use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;

/// A strict reader of the OpenMetrics text format: families in one piece, HELP and TYPE first, no sample of another family,
/// numbers that are numbers, whole histograms, EOF at the end.
fn parse(text: &str) -> BTreeMap<String, String> {
    let mut samples = BTreeMap::new();
    let (mut family, mut kind, mut seen) = (String::new(), String::new(), BTreeSet::new());
    let body = text.strip_suffix("# EOF\n").expect("it ends with EOF");
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let words: Vec<&str> = comment.splitn(3, ' ').collect();
            let [what, name, rest] = words[..] else { panic!("{line}") };
            if what == "HELP" {
                assert!(seen.insert(name.to_owned()), "{name} comes twice");
                assert!(rest.ends_with('.') && !rest.ends_with(".."), "{line}");
                family = name.to_owned();
            }
            assert_eq!(name, family, "{line}");
            match what {
                "TYPE" => kind = rest.to_owned(),
                "UNIT" => assert!(name.ends_with(&format!("_{rest}")), "{line}"),
                other => assert_eq!(other, "HELP"),
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect(line);
        value.parse::<f64>().expect(line);
        let (name, labels) = series
            .split_once('{')
            .map_or((series, ""), |(name, rest)| (name, rest.strip_suffix('}').expect(line)));
        let suffix = name.strip_prefix(family.as_str()).expect(line);
        let allowed: &[&str] = match kind.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "info" => &["_info"],
            "histogram" => &["_bucket", "_sum", "_count"],
            other => panic!("{other}"),
        };
        assert!(allowed.contains(&suffix), "{kind}: {line}");
        assert!(suffix != "_bucket" || labels.contains("le=\""), "{line}");
        assert!(samples.insert(series.to_owned(), value.to_owned()).is_none(), "{series} comes twice");
    }
    for series in samples.keys().filter(|series| series.contains("le=\"+Inf\"")) {
        let count = series.replace("_bucket{", "_count{").replace("le=\"+Inf\"", "");
        let count = count.replace("{,", "{").replace("{}", "");
        assert_eq!(samples.get(series), samples.get(&count), "{series} and {count}");
    }
    samples
}

#[test]
fn what_is_counted_is_shown_and_can_be_read() {
    let metrics = Metrics::default();
    metrics.jobs_in("done", 7);
    metrics.queue_length.set(3);
    metrics.step("start", "succeeded", Duration::from_millis(200));
    metrics.step("a \"strange\"\nname", "failed", Duration::from_secs(1));
    metrics.report("taken");
    metrics.report("taken");
    metrics.store_error("append");
    metrics.report_moved_on.observe(0.003);
    let samples = parse(&metrics.expose());
    for (series, value) in [
        ("firstlight_jobs{phase=\"done\"}", "7"),
        ("firstlight_queue_length", "3"),
        ("firstlight_reports_total{code=\"taken\"}", "2"),
        ("firstlight_store_errors_total{operation=\"append\"}", "1"),
        ("firstlight_step_seconds_count{step=\"start\",result=\"succeeded\"}", "1"),
        ("firstlight_step_seconds_bucket{le=\"0.25\",step=\"start\",result=\"succeeded\"}", "1"),
        ("firstlight_report_moved_on_seconds_bucket{le=\"0.0025\"}", "0"),
        ("firstlight_report_moved_on_seconds_bucket{le=\"0.005\"}", "1"),
        ("firstlight_claims_total", "0"),
    ] {
        assert_eq!(samples.get(series).map(String::as_str), Some(value), "{series} in {samples:#?}");
    }
    assert!(samples.keys().any(|series| series.starts_with("firstlight_build_info{version=")));
}

/// Every field is touched by the program itself, outside of this module and its tests.
#[test]
fn every_metric_is_updated_somewhere() {
    let sources = [
        include_str!("../daemon/metered.rs"),
        include_str!("../daemon/heart.rs"),
        include_str!("../http/gate.rs"),
        include_str!("../http/reports.rs"),
    ]
    .map(|source| source.split("#[cfg(test)]").next().unwrap_or_default())
    .concat();
    let updates = ["metrics.jobs_in(", "metrics.step(", "metrics.report(", "metrics.store_error("];
    let by_method = ["jobs", "steps", "reports", "store_errors"];
    for field in FIELDS {
        let updated = match by_method.iter().position(|name| name == field) {
            Some(place) => sources.contains(updates[place]),
            None => ["inc", "inc_by", "set", "observe"]
                .iter()
                .any(|how| sources.contains(&format!("metrics.{field}.{how}("))),
        };
        assert!(updated, "{field} is never updated");
    }
}

#[test]
fn the_page_lists_every_metric() {
    let page = include_str!("../../../docs/companion.md");
    for name in NAMES {
        assert!(page.contains(&format!("`{name}")), "{name} is not in docs/companion.md");
    }
}
