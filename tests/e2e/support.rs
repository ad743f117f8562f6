//! What several subjects need.

use std::fs;
use std::path::PathBuf;

use firstlight_tests::golden::{self, Variant};
use firstlight_tests::guest::bare::Root;
use firstlight_tests::paths;

/// The archive of a variant.
pub(crate) fn archive(variant: Variant) -> PathBuf {
    golden::archive(&paths::given(paths::GOLDENS_VARIABLE), variant)
}

/// A root of its own from a variant.
pub(crate) fn unpacked(variant: Variant) -> Root {
    Root::unpack(&archive(variant)).expect("the golden unpacks")
}

/// Names of the host key files in a root, sorted.
pub(crate) fn host_keys(root: &Root) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(root.path().join("etc/ssh"))
        .expect("etc/ssh is there")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("ssh_host_"))
        .collect();
    names.sort();
    names
}

/// One field of every guest.
pub(crate) fn fields(guests: &[serde_json::Value], name: &str) -> Vec<String> {
    guests
        .iter()
        .map(|guest| guest[name].as_str().unwrap_or_else(|| panic!("no {name} in {guest:#}")).to_owned())
        .collect()
}
