//! What is in the packages, without installing them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use firstlight_tests::dist::{Product, VERSION};
use firstlight_tests::{paths, run};

use super::{deb, folder, lines, rpm_file};

/// Paths of files and links in a .deb, each with its mode and what a link leads to.
fn files(product: Product) -> BTreeMap<String, (String, String)> {
    let listed = lines(run::command(["dpkg-deb", "--contents"]).arg(deb(product, 1)));
    let read = |line: &String| {
        let (mode, place) = (line.get(..10)?, line.split_once(" ./")?.1);
        let (path, target) = place.split_once(" -> ").unwrap_or((place, ""));
        assert!(line.contains(" 0/0 ") || line.contains(" root/root "), "{line}");
        (!path.ends_with('/')).then(|| (path.to_owned(), (mode.to_owned(), target.to_owned())))
    };
    listed.iter().filter_map(read).collect()
}

fn control(product: Product, part: &str) -> String {
    run::run(run::command(["dpkg-deb", "--info"]).arg(deb(product, 1)).arg(part)).unwrap().stdout
}

/// Files below a folder of the repository, relative to it.
fn below(folder: &Path, inside: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let name = format!("{inside}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            below(&entry.path(), &format!("{name}/"), found);
        } else {
            found.insert(name);
        }
    }
}

#[test]
fn the_guests_package_has_all_units_and_enables_none() {
    let files = files(Product::Guest);
    let mut units = BTreeSet::new();
    below(&paths::root().join("units/guest"), "", &mut units);
    assert!(units.remove("10-firstlight.preset"), "{units:?}");
    for unit in &units {
        let path = format!("usr/lib/systemd/system/{unit}");
        assert_eq!(files.get(&path).map(|(mode, _)| mode.as_str()), Some("-rw-r--r--"), "{path}");
    }
    let links: Vec<_> = files.iter().filter(|(_, (mode, _))| mode.starts_with('l')).collect();
    assert_eq!(links.len(), 1, "{links:?}");
    let gate = &files["usr/lib/systemd/system/sysinit.target.wants/firstlight-gate.target"];
    assert_eq!(gate.1, "../firstlight-gate.target");
    assert!(!files.keys().any(|path| path.ends_with(".preset") || path.starts_with("etc")), "{files:#?}");
    assert_eq!(files["usr/bin/firstlight-guest"].0, "-rwxr-xr-x");
    for path in [
        "usr/share/man/man8/firstlight-guest.8.gz",
        "usr/share/bash-completion/completions/firstlight-guest",
        "usr/share/zsh/vendor-completions/_firstlight-guest",
        "usr/share/fish/vendor_completions.d/firstlight-guest.fish",
        "usr/share/doc/firstlight-guest/copyright",
        "usr/share/doc/firstlight-guest/THIRD-PARTY.gz",
        "usr/share/doc/firstlight-guest/examples/checks.d/plain-server.toml",
    ] {
        assert!(files.contains_key(path), "{path} is missing");
    }
    // What the maintainer scripts do to units: the timer's stop at removal is all.
    for part in ["preinst", "postinst", "prerm", "postrm"] {
        let script = control(Product::Guest, part);
        let acts = |line: &&str| {
            let line = line.trim();
            !line.starts_with('#') && ["start ", "stop ", "restart "].iter().any(|verb| line.contains(verb))
        };
        let acting: Vec<&str> = script.lines().filter(acts).map(str::trim).collect();
        let expected: &[&str] = match part {
            "prerm" => &["deb-systemd-invoke stop firstlight-evidence.timer >/dev/null || true"],
            _ => &[],
        };
        assert_eq!(acting, expected, "{part}");
    }
}

#[test]
fn the_companions_package_has_its_service_user_folders_and_one_configuration_file() {
    let files = files(Product::Companion);
    for path in [
        "usr/bin/firstlight",
        "usr/lib/systemd/system/firstlight.service",
        "usr/lib/sysusers.d/firstlight.conf",
        "usr/lib/tmpfiles.d/firstlight.conf",
        "usr/share/man/man1/firstlight.1.gz",
        "usr/share/man/man1/firstlight-golden-lint.1.gz",
        "usr/share/bash-completion/completions/firstlight",
        "usr/share/zsh/vendor-completions/_firstlight",
        "usr/share/fish/vendor_completions.d/firstlight.fish",
        "usr/share/doc/firstlight/companion.md",
        "usr/share/doc/firstlight/examples/prometheus/firstlight.rules.yml",
        "usr/share/doc/firstlight/examples/grafana/firstlight.json",
        "usr/share/doc/firstlight/examples/ansible/firstlight-inventory",
        "usr/share/doc/firstlight/examples/systemd/firstlight.service.d/local-guests.conf",
    ] {
        assert!(files.contains_key(path), "{path} is missing");
    }
    assert_eq!(control(Product::Companion, "conffiles").trim(), "/etc/firstlight/firstlight.toml");
    let script = control(Product::Companion, "postinst");
    for words in [
        "systemd-sysusers",
        "systemd-tmpfiles --create firstlight.conf",
        "deb-systemd-invoke try-restart firstlight.service",
    ] {
        assert!(script.contains(words), "{words} is missing in\n{script}");
    }
}

#[test]
fn names_versions_and_files_of_both_packages_are_their_own() {
    let (guest, companion) = (files(Product::Guest), files(Product::Companion));
    let both: Vec<_> = guest.keys().filter(|path| companion.contains_key(*path)).collect();
    assert!(both.is_empty(), "{both:?}");
    for product in Product::ALL {
        let control = control(product, "control");
        for line in [
            format!("Package: {}", product.name()),
            format!("Version: {VERSION}-1"),
            "Architecture: amd64".into(),
        ] {
            assert!(control.lines().any(|found| found == line), "{line} is missing in\n{control}");
        }
    }
    let name = files(Product::Companion);
    assert!(name["usr/bin/firstlight"].0.starts_with("-rwx"));
}

/// Debian's own judge. What it is wrong about has an override with its reason, in packaging/debian.
#[test]
fn lintian_has_nothing_to_say() {
    let mut lintian = run::command([
        "lintian",
        "--allow-root",
        "--fail-on",
        "error,warning",
        "--display-level",
        ">=warning",
    ]);
    let ran = run::run(lintian.args(Product::ALL.map(|product| deb(product, 1)))).unwrap();
    assert!(ran.ok(), "{}", ran.said());
    for product in Product::ALL {
        let name = format!("packaging/debian/{}.lintian-overrides", product.name());
        let text = fs::read_to_string(paths::root().join(&name)).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| !line.starts_with('#')) {
            assert!(at > 0 && lines[at - 1].starts_with('#'), "{name} does not say why: {line}");
        }
    }
}

#[test]
fn the_same_program_packed_again_is_the_same_to_the_byte() {
    let again = folder("again");
    let mut compared = 0;
    for entry in fs::read_dir(&again).unwrap().flatten() {
        let name = entry.file_name();
        if name != "SHA256SUMS" {
            let (one, two) = (fs::read(folder("1").join(&name)).unwrap(), fs::read(entry.path()).unwrap());
            assert!(one == two, "{} differs", name.to_string_lossy());
            compared += 1;
        }
    }
    assert_eq!(compared, 5, ".deb, .rpm, .tar.gz, bill and licences");
}

#[test]
fn checksums_bills_and_licences_tell_of_what_is_there() {
    run::must(run::command(["sha256sum", "--strict", "--check", "SHA256SUMS"]).current_dir(folder("1")))
        .unwrap();
    let sums = fs::read_to_string(folder("1").join("SHA256SUMS")).unwrap();
    assert_eq!(sums.lines().count(), 10, "{sums}");
    for (product, linked, not_linked) in
        [(Product::Guest, "ring", "axum"), (Product::Companion, "axum", "crypto-primes")]
    {
        let stem = format!("{}-{VERSION}-x86_64", product.name());
        let bill = fs::read_to_string(folder("1").join(format!("{stem}.cdx.json"))).unwrap();
        let bill: serde_json::Value = serde_json::from_str(&bill).unwrap();
        assert_eq!(
            (bill["bomFormat"].as_str(), bill["specVersion"].as_str()),
            (Some("CycloneDX"), Some("1.6"))
        );
        let parts = bill["components"].as_array().unwrap();
        let has = |name: &str| parts.iter().any(|part| part["name"] == name);
        assert!(has(linked) && has("firstlight-shared") && !has(not_linked), "{stem}");
        assert!(
            !has("serde_derive") && !has("proptest"),
            "macros and what tests need are not in the program"
        );
        for part in parts.iter().filter(|part| part["hashes"].is_array()) {
            assert!(part["licenses"][0]["expression"].is_string(), "{part}");
        }
        let licences = fs::read_to_string(folder("1").join(format!("{stem}.licences.txt"))).unwrap();
        for part in parts.iter().filter(|part| part["hashes"].is_array()) {
            let line = format!("{} {}: ", part["name"].as_str().unwrap(), part["version"].as_str().unwrap());
            assert!(licences.contains(&line), "{line}");
        }
        assert!(licences.contains("Permission is hereby granted, free of charge"), "{stem}");
    }
}

/// The .rpm and the tarball have what the .deb has, apart from what belongs to Debian.
#[test]
fn all_kinds_have_the_same_files() {
    for product in Product::ALL {
        let name = product.name();
        let debian = |path: &String| {
            let own = ["copyright", "changelog.Debian.gz", "THIRD-PARTY.gz"];
            path.starts_with("usr/share/lintian/")
                || own.iter().any(|end| path == &format!("usr/share/doc/{name}/{end}"))
        };
        let common: BTreeSet<String> = files(product)
            .into_keys()
            .filter(|path| !debian(path))
            .map(|path| path.replace("usr/share/zsh/vendor-completions/", "usr/share/zsh/site-functions/"))
            .collect();
        let rpm: BTreeSet<String> =
            lines(run::command(["rpm", "--query", "--package", "--list"]).arg(rpm_file(product, 1)))
                .into_iter()
                .map(|path| path.trim_start_matches('/').to_owned())
                .filter(|path| !path.starts_with("usr/share/licenses/"))
                .collect();
        assert_eq!(rpm, common);
        let stem = format!("{name}-{VERSION}-x86_64");
        let tar =
            lines(run::command(["tar", "--list", "--file"]).arg(folder("1").join(format!("{stem}.tar.gz"))));
        let tar: BTreeSet<String> = tar
            .into_iter()
            .filter(|path| !path.ends_with('/'))
            .map(|path| path.strip_prefix(&format!("{stem}/")).unwrap_or(&path).to_owned())
            .filter(|path| path != "THIRD-PARTY")
            .collect();
        assert_eq!(tar, common);
    }
}
