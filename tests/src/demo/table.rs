//! The demo's tables: who the clones are, and where their time went.

use serde_json::Value;

/// Heads of the first table.
pub const COLUMNS: [&str; 7] =
    ["NAME", "MAC", "ADDRESS", "MACHINE-ID (derived)", "ED25519 FINGERPRINT", "TRUST", "READY AFTER"];

/// Both tables, from the document of `up --json`.
pub fn render(document: &Value) -> String {
    let guests = document["guests"].as_array().map(Vec::as_slice).unwrap_or_default();
    let identities = guests.iter().map(|guest| {
        vec![
            text(&guest["name"]),
            text(&guest["mac"]),
            text(&guest["addresses"][0]),
            text(&guest["machine_id"]),
            fingerprint(guest),
            text(&guest["trust"]),
            milliseconds(&guest["timings_ms"]["total"]),
        ]
    });
    let mut out = lines(COLUMNS.map(str::to_owned).to_vec(), identities.collect());
    out.push_str("\nTime per step\n");
    out.push_str(&steps(guests));
    out
}

/// The companion's steps in their order; the guest's own phases lie within `start` and `await-report`.
const STEPS: [&str; 10] =
    ["allocate", "restore", "mac", "hostname", "size", "mounts", "start", "await-report", "verify", "finish"];

fn steps(guests: &[Value]) -> String {
    let timed = |name: &str| guests.iter().any(|guest| guest["timings_ms"][name].is_u64());
    let names: Vec<&str> = STEPS.into_iter().filter(|name| timed(name)).collect();
    let heads =
        std::iter::once("NAME".to_owned()).chain(names.iter().map(|name| name.to_uppercase())).collect();
    let rows = guests.iter().map(|guest| {
        let times = names.iter().map(|name| milliseconds(&guest["timings_ms"][*name]));
        std::iter::once(text(&guest["name"])).chain(times).collect()
    });
    lines(heads, rows.collect())
}

fn fingerprint(guest: &Value) -> String {
    let keys = guest["ssh_host_keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    keys.iter()
        .find(|key| key["type"] == "ssh-ed25519")
        .map_or("-".to_owned(), |key| text(&key["fingerprint"]))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}

fn milliseconds(value: &Value) -> String {
    value.as_u64().map_or("-".to_owned(), |time| format!("{time} ms"))
}

fn lines(heads: Vec<String>, rows: Vec<Vec<String>>) -> String {
    let all: Vec<Vec<String>> = std::iter::once(heads).chain(rows).collect();
    let columns = all.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| all.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for row in &all {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up_and_name_every_step() {
        let document = serde_json::json!({"guests": [
            {"name": "web-01", "mac": "02:00:00:00:00:01", "addresses": ["10.77.0.10"], "machine_id": "ab", "trust": "attested",
             "ssh_host_keys": [{"type": "ssh-ed25519", "fingerprint": "SHA256:x"}], "timings_ms": {"restore": 900, "total": 1700}},
            {"name": "web-02", "timings_ms": {"restore": 1, "start": 2}},
        ]});
        let shown = render(&document);
        let rows: Vec<&str> = shown.lines().collect();
        assert!(rows[0].starts_with("NAME    MAC") && rows[0].ends_with("READY AFTER"), "{shown}");
        assert!(
            rows[1].starts_with("web-01  02:00:00:00:00:01  10.77.0.10") && rows[1].ends_with("1700 ms"),
            "{shown}"
        );
        assert_eq!(rows[5], "NAME    RESTORE  START", "{shown}");
        assert_eq!(rows[7], "web-02  1 ms     2 ms", "{shown}");
    }
}
