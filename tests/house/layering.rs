//! `shared` <- both agents <- `tests`; guest and host never see each other; inside the host, likewise.

use std::fs;
use std::path::{Path, PathBuf};

use firstlight_tests::paths;

fn manifest(folder: &str) -> String {
    fs::read_to_string(paths::root().join(folder).join("Cargo.toml")).unwrap()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    found
}

/// Lines below `folder` that name one of `words`.
fn uses(folder: &str, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for path in sources(&paths::root().join(folder)) {
        for line in fs::read_to_string(&path).unwrap().lines() {
            if !line.trim_start().starts_with("//") && words.iter().any(|word| line.contains(word)) {
                found.push(format!("{}: {}", path.display(), line.trim()));
            }
        }
    }
    found
}

#[test]
fn guest_and_host_never_see_each_other() {
    let depends = |folder: &str, package: &str| {
        manifest(folder).lines().any(|line| line.split(['=', '.', ' ']).next() == Some(package))
    };
    for (folder, package) in [
        ("guest-agent", "firstlight"),
        ("host-agent", "firstlight-guest"),
        ("shared", "firstlight"),
        ("shared", "firstlight-guest"),
        ("tests", "firstlight"),
        ("tests", "firstlight-guest"),
    ] {
        assert!(!depends(folder, package), "{folder} depends on {package}");
    }
    assert!(depends("guest-agent", "firstlight-shared") && depends("host-agent", "firstlight-shared"));
}

#[test]
fn shared_knows_no_runtime_and_no_system() {
    for name in ["tokio", "nix", "axum", "hyper", "rustls"] {
        assert!(!manifest("shared").lines().any(|line| line.starts_with(name)), "shared depends on {name}");
    }
    assert_eq!(
        uses("shared/src", &["std::fs", "std::net::Tcp", "std::process::Command"]),
        Vec::<String>::new()
    );
}

#[test]
fn inside_the_host_nobody_looks_up() {
    let rules: &[(&str, &[&str])] = &[
        (
            "host-agent/src/job",
            &["crate::backend", "crate::http", "crate::bringup", "crate::intake", "crate::cli"],
        ),
        (
            "host-agent/src/backend",
            &["crate::job", "crate::http", "crate::bringup", "crate::intake", "crate::cli", "crate::store"],
        ),
        ("host-agent/src/bringup", &["crate::http", "crate::cli", "crate::daemon"]),
        // The bottom: everybody is configured.
        (
            "host-agent/src/config",
            &[
                "crate::job",
                "crate::store",
                "crate::outbox",
                "crate::http",
                "crate::bringup",
                "crate::daemon",
                "crate::cli",
            ],
        ),
        ("host-agent/src/intake", &["crate::http", "crate::cli", "crate::daemon"]),
        ("host-agent/src/http", &["crate::web::", "crate::cli", "crate::daemon"]),
        ("host-agent/src/web", &["crate::cli", "crate::daemon"]),
        ("host-agent/src/report", &["crate::http", "crate::web::", "crate::cli", "crate::daemon"]),
        ("host-agent/src/outbox", &["crate::http", "crate::web::", "crate::cli", "crate::daemon"]),
        ("host-agent/src/webhook", &["crate::http", "crate::web::", "crate::cli", "crate::daemon"]),
        ("host-agent/src/traces", &["crate::http", "crate::web::", "crate::cli", "crate::daemon"]),
        ("host-agent/src/golden", &["crate::job", "crate::http", "crate::bringup", "crate::cli"]),
    ];
    for (folder, forbidden) in rules {
        assert_eq!(uses(folder, forbidden), Vec::<String>::new(), "in {folder}");
    }
}
