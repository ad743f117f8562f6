//! The NixOS module and its example: read and evaluated by Nix itself, as far as that goes without nixpkgs.

use std::path::PathBuf;
use std::process::Command;

use firstlight_shared::wire::{Evidence, Signed};
use firstlight_tests::golden::Variant;
use firstlight_tests::paths;
use firstlight_tests::run::{self, Ran};
use serde_json::{Value, json};

use crate::support::unpacked;

fn nix(words: &[&str], file: &str) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("nix-instantiate");
    command.args(words).arg(paths::root().join(file));
    // Nothing is built, and no store of the machine's own is made.
    for variable in ["NIX_STORE_DIR", "NIX_STATE_DIR", "NIX_LOG_DIR", "NIX_CONF_DIR", "HOME"] {
        let path: PathBuf = folder.path().join(variable);
        std::fs::create_dir(&path).unwrap();
        command.env(variable, path);
    }
    // Debian's default names a group that only its multi-user package has.
    std::fs::write(folder.path().join("NIX_CONF_DIR/nix.conf"), "build-users-group =\n").unwrap();
    run::run(&mut command).unwrap()
}

#[test]
fn the_files_are_nix() {
    for file in ["packaging/nixos/module.nix", "packaging/nixos/example.nix", "tests/e2e/nixos/stub.nix"] {
        let ran = nix(&["--parse"], file);
        assert!(ran.ok(), "{file}: {}", ran.said());
    }
}

/// What the stub comes to.
fn evaluated() -> Value {
    let ran = nix(&["--eval", "--strict", "--json", "--readonly-mode"], "tests/e2e/nixos/stub.nix");
    assert!(ran.ok(), "{}", ran.said());
    serde_json::from_str(&ran.stdout).unwrap()
}

/// The files that the example has below /etc, and what is in each.
fn files(found: &Value) -> Vec<(&str, &Value)> {
    let files = files(&found);
    let checks: Vec<&Value> = files.iter().flat_map(|(_, file)| file["check"].as_array()).flatten().collect();
    let ids: Vec<&str> = checks.iter().filter_map(|check| check["id"].as_str()).collect();
    for id in ["running-closure", "activation", "stack-mail", "age-key", "secrets", "tls-leaf"] {
        assert!(ids.contains(&id), "no check {id} in {ids:?}");
    }
    assert_eq!(ids.iter().filter(|id| id.starts_with("stack-")).count(), 6);
    let settings = files.iter().find(|(path, _)| *path == "firstlight/guest.toml").unwrap().1;
    assert_eq!(settings["checks"]["deadline"], json!("45m"));
}
