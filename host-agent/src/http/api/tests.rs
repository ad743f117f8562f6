use std::collections::BTreeSet;

use serde_json::Value;

use super::*;

fn document() -> Value {
    serde_json::to_value(api_document()).unwrap()
}

/// Every `$ref` below a value.
fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("$ref").and_then(Value::as_str));
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn the_description_is_whole() {
    let document = document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 20);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} is there twice");
            assert!(operation["summary"].is_string(), "{method} {path} says nothing");
            assert!(operation["responses"]["200"].is_object(), "{method} {path}");
            let named = path.matches('{').count();
            let given = operation["parameters"].as_array().into_iter().flatten();
            assert_eq!(given.filter(|parameter| parameter["in"] == "path").count(), named, "{path}");
        }
    }
}

#[test]
fn paths_and_schemas_are_these() {
    let document = document();
    let mut lines = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        lines.extend(item.as_object().unwrap().keys().map(|method| format!("{method} {path}")));
    }
    lines.extend(document["components"]["schemas"].as_object().unwrap().keys().cloned());
    let known = include_str!("tests/description.txt").lines().collect::<Vec<_>>();
    assert_eq!(
        lines,
        known,
        "the API has changed: is that meant? then tests/description.txt shall be\n{}",
        lines.join("\n")
    );
}
