//! What the operator of a server does by hand: trust, doctor, and then the first guest.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use firstlight_tests::rig::incus::{GOLDEN, IncusServer};
use serde_json::Value;

use super::site::Site;

/// The names that the server's trust store has for the tests' certificates go with them.
fn forget(site: &Site<'_>, name: &str) {
    let listed = site.server.get("/1.0/certificates?recursion=1").unwrap();
    for one in listed.as_array().unwrap().iter().filter(|one| one["name"] == name) {
        site.server.must(&["config", "trust", "remove", one["fingerprint"].as_str().unwrap()]).unwrap();
    }
}

/// The findings of `doctor`, which ends with this code.
fn doctor(site: &Site<'_>, more: &[&str], code: i32) -> Vec<Value> {
    let config = site.configuration().to_string_lossy().into_owned();
    let words = [&["doctor", "--backend", "incus", "--json", "--config", &config][..], more].concat();
    let ran = site.run(&words);
    assert_eq!(ran.code, code, "{}", ran.said());
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&document["backend"], &document["well"]), (&"incus".into(), &(code == 0).into()));
    document["findings"].as_array().unwrap().clone()
}

#[track_caller]
fn said<'a>(findings: &'a [Value], what: &str) -> (&'a str, &'a str) {
    let found = findings.iter().find(|one| one["what"].as_str().unwrap().starts_with(what));
    let found = found.unwrap_or_else(|| panic!("nothing of {what} in {findings:#?}"));
    (found["state"].as_str().unwrap(), found["why"].as_str().unwrap())
}

#[test]
fn a_token_leads_to_the_first_guest() {
    let mut site = Site::without_companion(IncusServer::shared(), "operator", &["restricted=true"]);
    let config = site.configuration().to_string_lossy().into_owned();
    let token = site.path("token");
    let add = ["config", "trust", "add", "firstlight-operator", "--restricted", "--projects", "operator"];
    fs::write(&token, site.server.must(&add).unwrap()).unwrap();
    let (token, name) = (token.to_string_lossy().into_owned(), ["--name", "far", "--config", &config]);
    let words = [&["trust", "--backend", "incus", "--trust-token", &token][..], &name].concat();
    let ran = site.run(&words);
    assert_eq!(ran.code, 0, "{}", ran.said());
    assert!(ran.stderr.contains("the server trusts our certificate"), "{}", ran.said());
    // It may see one project, so that is the one.
    assert!(ran.stdout.contains("project = \"operator\"") && ran.stdout.contains("name = \"far\""));
    let key = site.path("incus.key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);

    site.serve(&ran.stdout);
    let found = doctor(&site, &["--spec", &site.spec("first", GOLDEN, "")], 0);
    assert_eq!(said(&found, "trust of far").1, "known as `firstlight-operator`, restricted to operator");
    for what in [
        "server far",
        "version of far",
        "pin of far",
        "clock of far",
        "events of project operator",
        "preflight",
    ] {
        assert_eq!(said(&found, what).0, "ok", "{what}: {found:#?}");
    }
    assert!(said(&found, "golden golden").1.starts_with("image "));
    assert_eq!(said(&found, "address for reports").0, "ok", "{found:#?}");
    let missing = doctor(&site, &["--spec", &site.spec("first", "no-such", "")], 1);
    assert_eq!(said(&missing, "golden no-such").0, "fail");
    site.up("first", GOLDEN, "[guest.readiness]\ntimeout = \"120s\"\n");
    site.destroy(&["first"]);

    // A token counts once; another pair has nobody's trust.
    let (certificate, key) = (site.path("b.crt"), site.path("b.key"));
    let others = ["--certificate", certificate.to_str().unwrap(), "--key", key.to_str().unwrap()];
    let ran = site.run(&[&words[..], &others].concat());
    assert_eq!(ran.code, 4, "{}", ran.said());
    assert!(ran.stderr.contains("a token counts once"), "{}", ran.said());
    forget(&site, "firstlight-operator");
    let lost = doctor(&site, &[], 1);
    assert_eq!(said(&lost, "trust of far").0, "fail");
    site.end();
}

#[test]
fn a_server_that_nobody_compared_is_not_pinned() {
    let mut site = Site::without_companion(IncusServer::shared(), "compared", &[]);
    let config = site.configuration().to_string_lossy().into_owned();
    let address = site.server.address().to_string();
    let words = ["trust", &address, "--backend", "incus", "--project", "compared", "--config", &config];
    let trust = |more: &[&str]| site.run(&[&words[..], more].concat());
    let ran = trust(&[]);
    assert_eq!(ran.code, 3, "{}", ran.said());
    assert!(ran.stderr.contains("nobody is here to compare it") && ran.stdout.is_empty(), "{}", ran.said());
    let other = "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    assert_eq!(trust(&["--fingerprint", other, "--yes"]).code, 3);
    assert!(!site.path("incus.key").exists());
    let fingerprint = site.server.get("/1.0").unwrap()["environment"]["certificate_fingerprint"].clone();
    let ran = trust(&["--fingerprint", fingerprint.as_str().unwrap(), "--yes"]);
    assert_eq!(ran.code, 0, "{}", ran.said());
    // The command for the server's side is said, and it is the right one.
    let line = ran.stderr.lines().map(str::trim).find(|line| line.starts_with("incus config trust")).unwrap();
    let file = site.path("incus.crt").to_string_lossy().into_owned();
    let command: Vec<&str> =
        line.split(' ').skip(1).map(|word| if word == "incus.crt" { file.as_str() } else { word }).collect();
    site.server.must(&command).unwrap();
    let again = trust(&["--fingerprint", fingerprint.as_str().unwrap(), "--yes"]);
    assert!(again.ok() && again.stderr.contains("the server trusts our certificate"), "{}", again.said());
    assert_eq!(again.stdout, ran.stdout, "the same pair again");
    site.serve(&ran.stdout);
    doctor(&site, &[], 0);
    forget(&site, "firstlight");
    site.end();
}
