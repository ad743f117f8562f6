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
    let metrics = Metrics::new(&["local"]);
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
        ("firstlight_step_seconds_count{step=\"other\",result=\"failed\"}", "1"),
        ("firstlight_jobs_ended_total{backend=\"local\",ending=\"failed\"}", "0"),
        ("process_resident_memory_bytes", "0"),
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
        include_str!("../daemon/companion.rs"),
        include_str!("../http/gate.rs"),
        include_str!("../outbox/mod.rs"),
        include_str!("../http/reports.rs"),
    ]
    .map(|source| source.split("#[cfg(test)]").next().unwrap_or_default())
    .concat();
    let by_method = [
        ("jobs", "jobs_in"),
        ("steps", "step"),
        ("reports", "report"),
        ("store_errors", "store_error"),
        ("store_operation", "store_took"),
        ("guests", "count_guests"),
        ("oldest_job_age", "oldest_in"),
        ("time_to_ready", "ended"),
        ("jobs_ended", "ended"),
        ("step_retries", "step_again"),
        ("deliveries", "delivered"),
        ("deliveries_waiting", "deliveries_wait"),
        ("backend_call", "call"),
        ("backend_call_errors", "call_failed"),
    ];
    for field in FIELDS {
        let updated = match by_method.iter().find(|(name, _)| name == field) {
            Some((_, method)) => sources.contains(&format!("metrics.{method}(")),
            None => ["inc", "inc_by", "set", "observe"]
                .iter()
                .any(|how| sources.contains(&format!("metrics.{field}.{how}("))),
        };
        assert!(updated, "{field} is never updated");
    }
}

#[test]
fn the_page_lists_every_metric() {
    let page = include_str!("../../../docs/telemetry.md");
    for name in NAMES {
        assert!(page.contains(&format!("`{name}")), "{name} is not in docs/telemetry.md");
    }
}

#[test]
fn guests_are_counted_by_kind_and_kinds_without_any_go() {
    let count =
        |backend: &str, phase, trust, guests| GuestCount { backend: backend.into(), phase, trust, guests };
    let metrics = Metrics::new(&["local", "incus"]);
    metrics.count_guests(&[
        count("local", Phase::Done, Some(Trust::Attested), 3),
        count("local", Phase::Waiting, None, 2),
        // They were made by backends that are not configured any more.
        count("gone\"} 1\n", Phase::Done, Some(Trust::Claimed), 4),
        count("gone too", Phase::Done, Some(Trust::Claimed), 5),
    ]);
    let shown = |metrics: &Metrics| -> Vec<(String, String)> {
        let samples = parse(&metrics.expose()).into_iter();
        samples.filter(|(series, _)| series.starts_with("firstlight_guests{")).collect()
    };
    let series = |backend: &str, state: &str, trust: &str, guests: u64| {
        let name = format!("firstlight_guests{{backend=\"{backend}\",state=\"{state}\",trust=\"{trust}\"}}");
        (name, guests.to_string())
    };
    assert_eq!(
        shown(&metrics),
        [
            series("incus", "done", "attested", 0),
            series("local", "done", "attested", 3),
            series("local", "waiting", "none", 2),
            series("other", "done", "claimed", 9),
        ]
    );
    metrics.count_guests(&[]);
    assert_eq!(
        shown(&metrics),
        [series("incus", "done", "attested", 0), series("local", "done", "attested", 0)]
    );
}

#[test]
fn no_stranger_s_word_is_a_label() {
    let metrics = Metrics::new(&["local"]);
    for word in ["", "a\"} 1\nfirstlight_guests 9", "\u{202e}x", "UPPER", &"a".repeat(1 << 20)] {
        metrics.step_again(word);
        metrics.report(word);
        metrics.call_failed("local", word);
        metrics.ended(word, Ending::Ready, Duration::from_secs(3));
    }
    let samples = parse(&metrics.expose());
    for series in [
        "firstlight_step_retries_total{step=\"other\"}",
        "firstlight_reports_total{code=\"other\"}",
        "firstlight_backend_call_errors_total{backend=\"local\",code=\"other\"}",
        "firstlight_jobs_ended_total{backend=\"other\",ending=\"ready\"}",
        "firstlight_time_to_ready_seconds_bucket{le=\"4.0\",backend=\"other\"}",
    ] {
        assert_eq!(samples.get(series).map(String::as_str), Some("5"), "{series} in {samples:#?}");
    }
}
