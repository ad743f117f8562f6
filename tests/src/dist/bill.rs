//! The bill of materials: CycloneDX 1.6 in JSON, of what is linked into a program. (cargo-cyclonedx lists what may be built
//! for any target and feature, and has to be built for minutes first.)

use anyhow::Result;
use firstlight_shared::wire::sha256_hex;
use serde_json::{Value, json};

use super::crates::Crate;
use super::{Order, Product, VERSION};
use crate::run;

/// The document, ending with a line end.
pub(super) fn document(order: &Order, linked: &[Crate], moment: u64) -> Result<String> {
    let date = run::must(
        run::command(["date", "--utc", "+%Y-%m-%dT%H:%M:%SZ", "--date"]).arg(format!("@{moment}")),
    )?;
    let digest = sha256_hex(&std::fs::read(&order.program)?);
    let mut bill = content(order, linked, date.trim(), &digest, &beside(order)?);
    // Of the content: the same bill has the same number.
    let number = sha256_hex(bill.to_string().as_bytes());
    bill["serialNumber"] = format!(
        "urn:uuid:{}-{}-8{}-8{}-{}",
        &number[..8],
        &number[8..12],
        &number[13..16],
        &number[17..20],
        &number[20..32]
    )
    .into();
    Ok(format!("{}\n", serde_json::to_string_pretty(&bill)?))
}

fn content(order: &Order, linked: &[Crate], date: &str, digest: &str, beside: &[Value]) -> Value {
    let name = order.product.name();
    let own = format!("pkg:cargo/{name}@{VERSION}");
    let components: Vec<Value> =
        linked.iter().filter(|part| part.name != name).map(component).chain(beside.iter().cloned()).collect();
    let mut dependencies: Vec<Value> = linked
        .iter()
        .map(|part| {
            let uses: Vec<String> = part.uses.iter().map(|key| place(key)).collect();
            json!({ "ref": place(&part.key()), "dependsOn": uses })
        })
        .collect();
    for part in beside {
        if let Some(root) = dependencies.iter_mut().find(|entry| entry["ref"] == own.as_str())
            && let Some(uses) = root["dependsOn"].as_array_mut()
        {
            uses.push(part["bom-ref"].clone());
        }
        dependencies.push(json!({ "ref": part["bom-ref"], "dependsOn": [] }));
    }
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": date,
            "tools": { "components": [{ "type": "application", "name": "cargo xtask package", "version": VERSION }] },
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": name,
                "version": VERSION,
                "description": order.product.summary(),
                "licenses": [{ "expression": "Apache-2.0" }],
                "purl": own,
                "hashes": [{ "alg": "SHA-256", "content": digest }],
                "properties": [{ "name": "firstlight:target", "value": order.target }],
            },
        },
        "components": components,
        "dependencies": dependencies,
    })
}

/// A crate's reference, which is its package URL, from `NAME VERSION`.
fn place(key: &str) -> String {
    let (name, version) = key.split_once(' ').unwrap_or((key, ""));
    // In a package URL a plus sign (`+wasi-0.2`) is a space.
    format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"))
}

fn component(part: &Crate) -> Value {
    let mut value = json!({
        "type": "library",
        "bom-ref": place(&part.key()),
        "name": part.name,
        "version": part.version,
        "purl": place(&part.key()),
    });
    if let Some(licence) = &part.licence {
        value["licenses"] = json!([{ "expression": licence }]);
    }
    if let Some(sum) = &part.checksum {
        value["hashes"] = json!([{ "alg": "SHA-256", "content": sum }]);
    }
    if let Some(place) = &part.repository {
        value["externalReferences"] = json!([{ "type": "vcs", "url": place }]);
    }
    value
}

/// What no Cargo.lock knows: Rust's own library, and the C library in a static program.
fn beside(order: &Order) -> Result<Vec<Value>> {
    let rustc = run::must(&mut run::command(["rustc", "--version"]))?;
    let version = rustc.split(' ').nth(1).unwrap_or_default();
    let mut found = vec![json!({
        "type": "library", "bom-ref": format!("rust-std@{version}"), "name": "rust-std", "version": version,
        "licenses": [{ "expression": "MIT OR Apache-2.0" }],
    })];
    if order.product == Product::Guest {
        let package = if order.is_native() { "libc6-dev" } else { "libc6-dev-arm64-cross" };
        let asked = run::run(
            run::command(["dpkg-query", "--show", "--showformat=${Version}", package]).env("LC_ALL", "C"),
        );
        let version = asked.ok().filter(run::Ran::ok).map(|ran| ran.stdout.trim().to_owned());
        let mut library = json!({
            "type": "library", "bom-ref": "glibc", "name": "glibc",
            "licenses": [{ "expression": "LGPL-2.1-or-later" }],
        });
        if let Some(version) = version {
            library["version"] = version.into();
        }
        found.push(library);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_of_a_bill_leads_to_a_component() {
        let part = |name: &str, uses: &[&str], checksum: Option<&str>| Crate {
            name: name.into(),
            version: "1.0.0+x".into(),
            licence: Some("MIT".into()),
            repository: None,
            folder: "/".into(),
            checksum: checksum.map(str::to_owned),
            uses: uses.iter().map(|name| format!("{name} 1.0.0+x")).collect(),
        };
        let order = Order {
            product: Product::Guest,
            program: "/x".into(),
            target: "x86_64-unknown-linux-gnu".into(),
            revision: 1,
            quick: true,
        };
        let own = Crate { version: VERSION.into(), ..part("firstlight-guest", &["a"], None) };
        let linked = [part("a", &["b"], Some("ff")), part("b", &[], Some("ee")), own];
        let bill = content(&order, &linked, "2026-01-01T00:00:00Z", "aa", &[json!({ "bom-ref": "glibc" })]);
        assert_eq!(bill["components"].as_array().unwrap().len(), 3);
        let known = bill["components"].as_array().unwrap().iter().map(|part| &part["bom-ref"]);
        let known: Vec<&Value> = known.chain([&bill["metadata"]["component"]["bom-ref"]]).collect();
        for entry in bill["dependencies"].as_array().unwrap() {
            assert!(known.contains(&&entry["ref"]), "{entry}");
            assert!(
                entry["dependsOn"].as_array().unwrap().iter().all(|used| known.contains(&used)),
                "{entry}"
            );
        }
        assert_eq!(bill["components"][0]["purl"], "pkg:cargo/a@1.0.0%2Bx");
    }
}
