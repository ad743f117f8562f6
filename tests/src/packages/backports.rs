//! Debian's backports as a source of packages, on a release that lacks what we need.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::apt;
use crate::run;

const SOURCES: &str = "/etc/apt/sources.list.d";
const OURS: &str = "firstlight-backports.sources";
/// Releases without Incus of their own, and with a QEMU that is too old.
const OLDER: &[&str] = &["bookworm"];

/// Adds the source, if this release needs it and nobody has added it yet.
pub(super) fn enable() -> Result<()> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let Some(codename) = needy(&release) else { return Ok(()) };
    let suite = suite_of(codename);
    let known = sources();
    if known.iter().any(|text| text.contains(&suite)) {
        return Ok(());
    }
    let path = Path::new(SOURCES).join(OURS);
    if !nix::unistd::geteuid().is_root() {
        bail!("packages of {suite} are missing: run this as root, or add that source to apt by hand");
    }
    eprintln!("adding {suite} to apt's sources: {}", path.display());
    let mirror = known.iter().find_map(|text| mirror(text, codename)).unwrap_or(USUAL_MIRROR);
    fs::write(&path, source(mirror, &suite))
        .with_context(|| format!("{} cannot be written", path.display()))?;
    run::must(apt().arg("update")).map(drop)
}

/// `NAME`, or `NAME/SUITE` on a release that needs the source.
pub(super) fn package(name: &str) -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    needy(&release).map_or_else(|| name.to_owned(), |codename| format!("{name}/{}", suite_of(codename)))
}

fn needy(release: &str) -> Option<&str> {
    codename(release).filter(|name| OLDER.contains(name))
}

fn suite_of(codename: &str) -> String {
    format!("{codename}-backports")
}

const USUAL_MIRROR: &str = "http://deb.debian.org/debian";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

fn codename(release: &str) -> Option<&str> {
    release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="))
}

fn source(mirror: &str, suite: &str) -> String {
    format!("Types: deb\nURIs: {mirror}\nSuites: {suite}\nComponents: main\nSigned-By: {KEYRING}\n")
}

/// The texts of all sources that apt knows.
fn sources() -> Vec<String> {
    let folder = fs::read_dir(SOURCES).into_iter().flatten().flatten().map(|entry| entry.path());
    let files = folder.filter(|path| path.extension().is_some_and(|end| end == "sources" || end == "list"));
    let all = files.chain([Path::new("/etc/apt/sources.list").to_owned()]);
    all.filter_map(|path| fs::read_to_string(path).ok()).collect()
}

/// Where the release itself comes from, in either form of a source.
fn mirror<'a>(source: &'a str, codename: &str) -> Option<&'a str> {
    let mut uri = None;
    for line in source.lines().map(str::trim) {
        let mut words = line.split_whitespace();
        match words.next() {
            None => uri = None, // a stanza ends
            Some("URIs:") => uri = words.next(),
            Some("Suites:") if words.any(|suite| suite == codename) => return uri,
            Some("deb") => {
                let mut rest = words.skip_while(|word| !word.contains("://"));
                let (found, suite) = (rest.next(), rest.next());
                if suite == Some(codename) {
                    return found;
                }
            }
            Some(_) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_of_the_release_is_taken() {
        let stanzas = "Types: deb\nURIs: http://mirror.example/debian-security\nSuites: bookworm-security\n\n\
            Types: deb\n# a comment\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\n";
        assert_eq!(mirror(stanzas, "bookworm"), Some("http://mirror.example/debian"));
        let lines = "deb http://sec.example/debian-security bookworm-security main\n\
            deb [arch=amd64 signed-by=/k.gpg] https://m.example/debian bookworm main contrib\n";
        assert_eq!(mirror(lines, "bookworm"), Some("https://m.example/debian"));
        assert_eq!(mirror(lines, "trixie"), None);
        assert_eq!(codename("ID=debian\nVERSION_CODENAME=bookworm\n"), Some("bookworm"));
        assert_eq!(needy("VERSION_CODENAME=trixie\n"), None);
        assert!(source(USUAL_MIRROR, "bookworm-backports").contains("\nSuites: bookworm-backports\n"));
    }
}
