//! Each row of the identity table, planted in turn in a sealed root, is found under its name: in a folder and in an archive.

use std::collections::BTreeSet;

use firstlight_shared::items::{self, Detect, Item};

use super::super::lint;
use super::super::testing::{Image, LIMITS};
use super::lint_bytes;

/// Rows that no root shows: the hypervisor or the disks have them.
const ELSEWHERE: [&str; 3] = ["disk-identifiers", "predicted-machine-id", "tpm-state"];

const ID: &str = "7be07251d7584360bfa20bcb52311efb";

/// Contents that the row is to find, one for each way to write it.
fn texts(item: &Item) -> Vec<String> {
    let mac = |word: &&str| format!("# first\n  {word}=bc:24:11:00:00:01\n");
    match item.detect {
        Detect::HasValue(keys) => keys.iter().map(|key| format!("# first\n{key}=value\n")).collect(),
        Detect::IsTrue(key) => vec![format!("{key}: true\n"), format!("{key}: yes\n")],
        Detect::Mac([]) => vec![mac(&"any")],
        Detect::Mac(words) => words.iter().map(mac).collect(),
        Detect::MachineId => vec![format!("{ID}\n")],
        Detect::Word(word) => vec![format!("{word}\n")],
        Detect::PrivateKey => ["OPENSSH PRIVATE KEY", "PRIVATE KEY", "PGP PRIVATE KEY BLOCK"]
            .map(|kind| format!("-----BEGIN {kind}-----\nMIIEvQIBADANBgkqhkiG9w0B\n"))
            .to_vec(),
        Detect::Exists | Detect::FileNotSymlink | Detect::NamedByMachineId => vec![String::new()],
        Detect::NonEmpty | Detect::HostName => vec!["golden\n".to_owned()],
        Detect::Elsewhere => Vec::new(),
    }
}

#[test]
fn every_row_of_the_table_is_found_in_a_folder_and_in_an_archive() {
    // Mail has two paths, which are one folder.
    let bare = Image::sealed().without("var/spool/mail");
    let look = |image: &Image| {
        let folder = tempfile::tempdir().unwrap();
        image.put(folder.path());
        let of_folder = lint(folder.path(), None, LIMITS).unwrap().findings;
        assert_eq!(of_folder, lint_bytes(&image.tar("./"), LIMITS).unwrap().findings);
        of_folder
    };
    assert_eq!(look(&bare), [], "what is found is then what was planted");
    let mut found = BTreeSet::new();
    for item in items::all() {
        for pattern in item.paths {
            assert!(!pattern.contains('?'), "{pattern}: nothing is planted for it");
            let star = if item.detect == Detect::NamedByMachineId { ID } else { "x1" };
            let path = pattern.replace('*', star);
            for text in texts(item) {
                let findings = look(&bare.clone().file(&path, &text));
                let planted = findings.iter().find(|finding| finding.rule == item.name);
                let planted = planted.unwrap_or_else(|| panic!("{} at {path}: {findings:#?}", item.name));
                let is_told = planted.danger == item.danger && !planted.fix.is_empty();
                assert!(planted.path == format!("/{path}") && is_told, "{planted:?}");
                found.insert(item.name);
            }
        }
    }
    let all: BTreeSet<&str> = items::all().map(|item| item.name).collect();
    let left: Vec<&str> = all.difference(&found).copied().collect();
    assert_eq!(left, ELSEWHERE);
}
