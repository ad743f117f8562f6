//! The server over HTTPS: pinned, and we are known to it by our certificate.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use firstlight_tests::rig::incus::{GOLDEN, IncusServer};
use firstlight_tests::run;

use super::site::Site;

/// A key pair of the companion's; the configuration of a remote with it.
fn remote(site: &Site<'_>, pinned: &std::path::Path) -> String {
    let (certificate, key) = (site.path("client.crt"), site.path("client.key"));
    run::must(
        run::command(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-noenc", "-days", "7", "-subj", "/CN=firstlight", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate),
    )
    .unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    format!(
        "[[incus.remote]]\nname = \"far\"\naddress = \"https://{}\"\nfingerprints = [\"{}\"]\n\
         certificate = \"{}\"\nkey = \"{}\"\nproject = \"{}\"\n",
        site.server.address(),
        fingerprint(pinned),
        certificate.display(),
        key.display(),
        site.project
    )
}

/// SHA-256 of a certificate, as openssl prints it.
fn fingerprint(certificate: &std::path::Path) -> String {
    let mut openssl = run::command(["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in"]);
    let said = run::must(openssl.arg(certificate)).unwrap();
    said.trim().rsplit('=').next().unwrap().to_owned()
}

#[test]
fn a_companion_that_the_server_trusts_brings_guests_up_over_https() {
    let mut site = Site::without_companion(IncusServer::shared(), "remote", &[]);
    let configuration = remote(&site, &site.server.certificate());
    site.serve(&configuration);
    let ran = site.run(&["up", &site.spec("remote", GOLDEN, "")]);
    assert_eq!(ran.code, 4, "{}", ran.said());
    assert!(ran.stderr.contains("`incus config trust list`"), "{}", ran.said());

    let certificate = site.path("client.crt").to_string_lossy().into_owned();
    let words = ["config", "trust", "add-certificate", &certificate, "--name", "firstlight-test"];
    site.server.must(&[&words[..], &["--restricted", "--projects", &site.project]].concat()).unwrap();
    site.up("remote", GOLDEN, "[guest.readiness]\ntimeout = \"120s\"\n");
    site.destroy(&["remote"]);
    let listed = site.server.get("/1.0/certificates?recursion=1").unwrap();
    for one in listed.as_array().unwrap().iter().filter(|one| one["name"] == "firstlight-test") {
        site.server.must(&["config", "trust", "remove", one["fingerprint"].as_str().unwrap()]).unwrap();
    }
    site.end();
}

#[test]
fn a_server_with_another_certificate_is_not_spoken_to() {
    let mut site = Site::without_companion(IncusServer::shared(), "impostor", &[]);
    let configuration = remote(&site, &site.server.certificate());
    // Its own certificate stands for the one of another server.
    let ours = fingerprint(&site.path("client.crt"));
    let configuration = configuration.replace(&fingerprint(&site.server.certificate()), &ours);
    site.serve(&configuration);
    let ran = site.run(&["up", &site.spec("impostor", GOLDEN, "")]);
    assert!(!ran.ok() && ran.stderr.contains("certificate"), "{}", ran.said());
    site.end();
}
