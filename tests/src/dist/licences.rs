//! The licences of what is linked in: a list, and every text once. (cargo-about does the same, and has to be built for minutes
//! first; cargo-deny looks in every run whether the licences are allowed ones.)

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use anyhow::Result;

use super::crates::Crate;
use super::{Order, Product, VERSION};

/// How files are named that hold terms or who is to be named.
const NAMES: [&str; 6] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];

/// The whole text.
pub(super) fn text(order: &Order, linked: &[Crate]) -> Result<String> {
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut list, mut bare) = (String::new(), Vec::new());
    for part in linked.iter().filter(|part| !part.is_ours()) {
        let _ = writeln!(
            list,
            "{} {}: {}",
            part.name,
            part.version,
            part.licence.as_deref().unwrap_or("see its text")
        );
        let files = files(part)?;
        if files.is_empty() {
            bare.push(part.key());
        }
        for text in files {
            let of = texts.entry(text).or_default();
            if of.last() != Some(&part.key()) {
                of.push(part.key());
            }
        }
    }
    let name = order.product.name();
    let mut whole =
        format!("{name} {VERSION} is under the Apache License, version 2.0. Linked into it:\n\n{list}");
    whole.push_str("\nThe standard library of Rust: MIT OR Apache-2.0, https://www.rust-lang.org\n");
    if order.product == Product::Guest {
        whole.push_str(
            "The GNU C library, linked statically: LGPL-2.1-or-later, https://www.gnu.org/software/libc. Who wants to link the\n\
             program with another one builds it with `cargo xtask build` from its sources.\n",
        );
    }
    if !bare.is_empty() {
        let _ = writeln!(
            whole,
            "\nWithout a text of their own, under the terms named above: {}",
            bare.join(", ")
        );
    }
    for (text, of) in texts {
        let _ = write!(whole, "\n{}\n{}\n\n{}\n", "-".repeat(72), of.join(", "), text.trim_end());
    }
    Ok(whole)
}

/// The texts that a crate comes with.
fn files(part: &Crate) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(&part.folder)?.flatten() {
        let name = entry.file_name().to_string_lossy().to_uppercase();
        if NAMES.iter().any(|start| name.starts_with(start)) && entry.path().is_file() {
            let text = String::from_utf8_lossy(&fs::read(entry.path())?).replace("\r\n", "\n");
            found.push(text.trim_end().to_owned());
        }
    }
    found.sort();
    Ok(found)
}
