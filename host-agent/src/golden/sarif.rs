//! Findings as SARIF 2.1.0, which code hosts and CI systems show.
//!
//! Source: OASIS Standard "Static Analysis Results Interchange Format (SARIF) Version 2.1.0".

use std::collections::BTreeMap;

use firstlight_shared::text::escape;
use serde_json::{Value, json};

use super::finding::{Finding, Report, Severity};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";
/// Of a text of the golden.
const SHOWN: usize = 1000;

/// The log of one run.
pub(crate) fn sarif(report: &Report) -> Value {
    let mut rules: BTreeMap<&str, &Finding> = BTreeMap::new();
    for finding in &report.findings {
        rules.entry(finding.rule).or_insert(finding);
    }
    let place: BTreeMap<&str, usize> = rules.keys().enumerate().map(|(place, rule)| (*rule, place)).collect();
    let described: Vec<Value> = rules.values().map(|finding| rule(finding)).collect();
    let results: Vec<Value> =
        report.findings.iter().map(|finding| result(report, finding, place[finding.rule])).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "firstlight golden lint",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": described,
            }},
            "artifacts": [{ "location": { "uri": uri(&report.golden) } }],
            "invocations": [{ "executionSuccessful": !report.incomplete }],
            "results": results,
            "columnKind": "unicodeCodePoints",
        }],
    })
}

fn rule(finding: &Finding) -> Value {
    json!({
        "id": finding.rule,
        "shortDescription": { "text": shown(&finding.item) },
        "fullDescription": { "text": shown(&finding.danger) },
        "help": { "text": shown(&finding.fix) },
        "defaultConfiguration": { "level": level(finding.severity) },
    })
}

fn result(report: &Report, finding: &Finding, place: usize) -> Value {
    let text = format!("{}: {}. {}", finding.item, finding.danger, finding.fix);
    json!({
        "ruleId": finding.rule,
        "ruleIndex": place,
        "level": level(finding.severity),
        "message": { "text": shown(&text) },
        "locations": [{
            "physicalLocation": { "artifactLocation": { "uri": uri(&report.golden), "index": 0 } },
            "logicalLocations": [{ "fullyQualifiedName": shown(&finding.path), "kind": "resource" }],
        }],
        "partialFingerprints": { "goldenItem/v1": shown(&format!("{} {}", finding.rule, finding.path)) },
    })
}

const fn level(severity: Severity) -> &'static str {
    severity.as_str()
}

fn shown(text: &str) -> String {
    escape(text, SHOWN)
}

/// A relative reference, or one of the scheme `file`.
fn uri(path: &str) -> String {
    const KEPT: percent_encoding::AsciiSet =
        percent_encoding::NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_').remove(b'~');
    let encoded = percent_encoding::utf8_percent_encode(path, &KEPT);
    if path.starts_with('/') { format!("file://{encoded}") } else { encoded.to_string() }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Target;
    use super::*;

    #[test]
    fn a_log_has_what_the_schema_requires() {
        let finding = |rule, severity, path: &str| {
            Finding::new(rule, severity, "a thing\u{1b}", path).danger("it breaks").fix("remove it")
        };
        let report = Report {
            golden: "/x/g olden.tar".to_owned(),
            shape: "tar",
            target: Target::Any,
            entries: 1,
            bytes: 1,
            findings: vec![
                finding("b", Severity::Error, "/etc/b"),
                finding("a", Severity::Warning, "/etc/a"),
                finding("b", Severity::Note, "/etc/c\u{202e}"),
            ],
            incomplete: false,
        };
        let log = sarif(&report);
        assert_eq!(log["version"], "2.1.0");
        let run = &log["runs"][0];
        assert_eq!(run["tool"]["driver"]["name"], "firstlight golden lint");
        assert_eq!(run["invocations"][0]["executionSuccessful"], true);
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        let results = run["results"].as_array().unwrap();
        assert_eq!((rules.len(), results.len()), (2, 3));
        for result in results {
            assert!(!result["message"]["text"].as_str().unwrap().contains('\u{1b}'));
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(rules[index]["id"], result["ruleId"]);
            assert!(["note", "warning", "error"].contains(&result["level"].as_str().unwrap()));
            let place = &result["locations"][0]["physicalLocation"]["artifactLocation"];
            assert_eq!(place["uri"], "file:///x/g%20olden.tar");
        }
        let prints: std::collections::BTreeSet<_> =
            results.iter().map(|result| result["partialFingerprints"]["goldenItem/v1"].as_str()).collect();
        assert_eq!(prints.len(), 3);
    }
}
