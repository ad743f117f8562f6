//! How long guests live, for people.

use serde_json::Value;

/// Of a guest that is ready.
pub(in crate::cli) fn life(guest: &Value, now_ms: u64) -> String {
    let due = guest["due_at_ms"].as_u64();
    let ends = due.map(|due| format!("destroyed in {}, unless it is kept", span(due.saturating_sub(now_ms))));
    let stops = (guest["ephemeral"] == true).then(|| "gone when it stops".to_owned());
    match (ends, stops) {
        (None, None) => "kept for ever".to_owned(),
        (ends, stops) => ends.into_iter().chain(stops).collect::<Vec<_>>().join("; "),
    }
}

/// What a change is about; none: it is no change.
pub(in crate::cli) fn change(change: &Value) -> Option<String> {
    let name = super::text(&change["name"]);
    Some(match change["kind"].as_str()? {
        "memory" => {
            let mebibytes = change["bytes"].as_u64().unwrap_or_default() >> 20;
            match change["snapshot"].as_str() {
                Some(before) => format!("memory to {mebibytes}M, after a snapshot {}", super::safe(before)),
                None => format!("memory to {mebibytes}M"),
            }
        }
        "snapshot" => format!("takes the snapshot {name}"),
        "remove-snapshot" => format!("removes the snapshot {name}"),
        "rollback" => format!("back to the snapshot {name}"),
        "promote" => "kept for ever, also when it stops".to_owned(),
        other => super::safe(other),
    })
}

/// The two largest units: `2d 3h`, `5m 1s`; never shorter than it is.
pub(in crate::cli) fn span(milliseconds: u64) -> String {
    let seconds = milliseconds.div_ceil(1000);
    let parts =
        [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let first = parts.iter().position(|(number, _)| *number > 0).unwrap_or(parts.len() - 1);
    let shown = parts.iter().skip(first).take(2).filter(|(number, _)| *number > 0);
    let shown: Vec<String> = shown.map(|(number, unit)| format!("{number}{unit}")).collect();
    if shown.is_empty() { "0s".to_owned() } else { shown.join(" ") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn spans_are_short_and_lives_say_what_ends_them() {
        let table = [(0, "0s"), (1, "1s"), (61_000, "1m 1s"), (3_600_000, "1h"), (183_600_000, "2d 3h")];
        for (milliseconds, shown) in table {
            assert_eq!(span(milliseconds), shown);
        }
        assert_eq!(life(&json!({}), 0), "kept for ever");
        let both = json!({ "due_at_ms": 7_200_000, "ephemeral": true });
        assert_eq!(life(&both, 0), "destroyed in 2h, unless it is kept; gone when it stops");
    }
}
