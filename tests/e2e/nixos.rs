//! The NixOS module and its example: read and evaluated by Nix itself, as far as that goes without nixpkgs.

use std::path::PathBuf;
use std::process::Command;

use firstlight_tests::paths;
use firstlight_tests::run::{self, Ran};
use serde_json::{Value, json};

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

#[test]
fn the_example_makes_the_units_and_checks_that_it_speaks_of() {
    let ran = nix(&["--eval", "--strict", "--json", "--readonly-mode"], "tests/e2e/nixos/stub.nix");
    assert!(ran.ok(), "{}", ran.said());
    let found: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&found["undescribed"], &found["mistyped"]), (&json!([]), &json!([])));
    assert_eq!(found["taken"], json!([]), "the stub lets through what nixpkgs refuses");
    assert_eq!(found["off"], json!({}), "a module that is off does something");

    let systemd = &found["example"]["systemd"];
    assert_eq!(systemd["targets"]["firstlight-gate"]["wantedBy"], json!(["sysinit.target"]));
    let identity = &systemd["services"]["firstlight-identity"];
    assert_eq!(identity["requiredBy"], json!(["firstlight-gate.target"]));
    assert_eq!(identity["restartIfChanged"], json!(false));
    assert_eq!(systemd["services"]["firstlight-report"]["wantedBy"], json!(["multi-user.target"]));
    assert_eq!(systemd["timers"]["firstlight-evidence"]["wantedBy"], json!([]));
    assert_eq!(
        found["timer"]["systemd"]["timers"]["firstlight-evidence"]["wantedBy"],
        json!(["timers.target"])
    );

    // Every unit that names the program is given the store's path, and every unit that is enabled is there.
    let script = found["script"].as_str().unwrap();
    assert!(script.contains(
        "--replace-fail /usr/bin/firstlight-guest /nix/store/0-firstlight-guest/bin/firstlight-guest"
    ));
    let units = paths::root().join("units/guest");
    for entry in std::fs::read_dir(&units).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let text = if entry.path().is_file() {
            std::fs::read_to_string(entry.path()).unwrap()
        } else {
            String::new()
        };
        let is_ours = name.starts_with("firstlight-") && name.ends_with(".service");
        assert_eq!(text.contains("/usr/bin/firstlight-guest"), is_ours, "{name}");
    }
    for kind in ["services", "targets", "timers"] {
        for name in systemd[kind].as_object().unwrap().keys() {
            let unit = format!("{name}.{}", kind.trim_end_matches('s'));
            assert!(units.join(&unit).is_file(), "{unit} is not in units/guest");
        }
    }

    let files = found["example"]["environment"]["etc"].as_object().unwrap();
    let checks: Vec<&Value> =
        files.values().flat_map(|file| file["source"]["value"]["check"].as_array()).flatten().collect();
    let ids: Vec<&str> = checks.iter().filter_map(|check| check["id"].as_str()).collect();
    for id in ["running-closure", "activation", "stack-mail", "age-key", "secrets", "tls-leaf"] {
        assert!(ids.contains(&id), "no check {id} in {ids:?}");
    }
    assert_eq!(ids.iter().filter(|id| id.starts_with("stack-")).count(), 6);
    assert_eq!(files["firstlight/guest.toml"]["source"]["value"]["checks"]["deadline"], json!("45m"));
    // The kinds are those that the guest agent knows, by the page that its own tests hold to it.
    let page = std::fs::read_to_string(paths::root().join("docs/checks.md")).unwrap();
    for check in checks {
        let kind = check["kind"].as_str().unwrap();
        assert!(page.contains(&format!("### {kind}\n")), "no kind {kind}");
    }
}
