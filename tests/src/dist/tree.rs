//! What is in a package, and where: said once for all kinds of packages.
//!
//! The preset of `units/guest` is not in it: that is for images, and enables.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::usage::Usage;
use super::{Order, Product, VERSION, gzipped};
use crate::golden::{Entry, Layer};
use crate::{paths, run};

const UNITS: &str = "usr/lib/systemd/system";
/// Debian's folder; elsewhere it is [`ZSH_ELSEWHERE`].
const ZSH: &str = "usr/share/zsh/vendor-completions";
const ZSH_ELSEWHERE: &str = "usr/share/zsh/site-functions";
/// Pages that are about the guest; the companion's package has all.
const GUEST_PAGES: &[&str] = &[
    "beacon.md",
    "checks.md",
    "guest-agent.md",
    "guest-claims-and-channels.md",
    "identity-items.md",
    "install.md",
];
/// From `packaging/`, each with its folder below `examples`.
const GUEST_EXAMPLES: &[&str] = &["checks.d"];
const COMPANION_EXAMPLES: &[&str] = &["ansible", "checks.d", "grafana", "prometheus", "systemd"];

/// What all kinds have in common.
pub(super) fn plain(order: &Order, licences: &str) -> Result<Layer> {
    ensure!(!licences.is_empty(), "no licence was found");
    let mut tree = Layer::default();
    tree.file(format!("usr/bin/{}", order.product.name()), 0o755, program(order)?);
    match order.product {
        Product::Guest => guest(&mut tree)?,
        Product::Companion => companion(order, &mut tree)?,
    }
    documents(order.product, &mut tree)?;
    Ok(tree)
}

/// A development build without its symbols, which are most of it.
fn program(order: &Order) -> Result<Vec<u8>> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("{} cannot be read", path.display()));
    if !order.quick || order.product == Product::Guest {
        return read(&order.program);
    }
    let stripped = tempfile::NamedTempFile::new()?;
    run::must(run::command(["strip", "-o"]).arg(stripped.path()).arg(&order.program))?;
    read(stripped.path())
}

/// A file of the repository.
fn put(tree: &mut Layer, from: &str, to: &str) -> Result<()> {
    let bytes = fs::read(paths::root().join(from)).with_context(|| format!("{from} cannot be read"))?;
    let mode = if bytes.starts_with(b"#!") { 0o755 } else { 0o644 };
    tree.file(to, mode, bytes);
    Ok(())
}

/// Files below a folder of the repository, with one mode for all that is no script: what a checkout has depends on umask.
fn put_folder(tree: &mut Layer, from: &str, to: &str) -> Result<()> {
    let folder = paths::root().join(from);
    let listed = fs::read_dir(&folder).with_context(|| format!("{from} cannot be read"))?;
    for entry in listed {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let (inside, target) = (format!("{from}/{name}"), format!("{to}/{name}"));
        if entry.path().is_dir() {
            put_folder(tree, &inside, &target)?;
        } else if !name.ends_with(".preset") {
            put(tree, &inside, &target)?;
        }
    }
    Ok(())
}

fn guest(tree: &mut Layer) -> Result<()> {
    put_folder(tree, "units/guest", UNITS)?;
    tree.link(format!("{UNITS}/sysinit.target.wants/firstlight-gate.target"), "../firstlight-gate.target");
    let usage = Usage::of_guest()?;
    page(tree, "man8/firstlight-guest.8", &usage.page(VERSION))?;
    tree.file("usr/share/bash-completion/completions/firstlight-guest", 0o644, usage.bash());
    tree.file(format!("{ZSH}/_firstlight-guest"), 0o644, usage.zsh());
    tree.file("usr/share/fish/vendor_completions.d/firstlight-guest.fish", 0o644, usage.fish());
    Ok(())
}

fn page(tree: &mut Layer, name: &str, text: &str) -> Result<()> {
    tree.file(format!("usr/share/man/{name}.gz"), 0o644, gzipped(text.as_bytes())?);
    Ok(())
}

/// Manual and completions are printed by the program itself.
fn companion(order: &Order, tree: &mut Layer) -> Result<()> {
    put(tree, "units/host/firstlight.service", &format!("{UNITS}/firstlight.service"))?;
    put(tree, "packaging/sysusers.d/firstlight.conf", "usr/lib/sysusers.d/firstlight.conf")?;
    put(tree, "packaging/tmpfiles.d/firstlight.conf", "usr/lib/tmpfiles.d/firstlight.conf")?;
    put(tree, "packaging/firstlight.toml", "etc/firstlight/firstlight.toml")?;
    let said = |words: &[&str]| run::must(std::process::Command::new(&order.program).args(words));
    for (shell, path) in [
        ("bash", "usr/share/bash-completion/completions/firstlight".to_owned()),
        ("zsh", format!("{ZSH}/_firstlight")),
        ("fish", "usr/share/fish/vendor_completions.d/firstlight.fish".to_owned()),
    ] {
        tree.file(path, 0o644, said(&["completions", shell])?);
    }
    let pages = tempfile::tempdir()?;
    said(&["man", "--dir", &pages.path().to_string_lossy()])?;
    for entry in fs::read_dir(pages.path())? {
        let entry = entry?;
        let text = fs::read_to_string(entry.path())?;
        page(tree, &format!("man1/{}", entry.file_name().to_string_lossy()), &text)?;
    }
    Ok(())
}

fn documents(product: Product, tree: &mut Layer) -> Result<()> {
    let to = format!("usr/share/doc/{}", product.name());
    let examples = match product {
        Product::Guest => {
            for name in GUEST_PAGES {
                put(tree, &format!("docs/{name}"), &format!("{to}/{name}"))?;
            }
            GUEST_EXAMPLES
        }
        Product::Companion => {
            put_folder(tree, "docs", &to)?;
            COMPANION_EXAMPLES
        }
    };
    for name in examples {
        put_folder(tree, &format!("packaging/{name}"), &format!("{to}/examples/{name}"))?;
    }
    Ok(())
}

/// With what Debian wants to find: licences, changelog, and where lintian is wrong. The copyright is cargo-deb's
/// `license-file`.
pub(super) fn debian(order: &Order, mut tree: Layer, licences: &str, moment: u64) -> Result<Layer> {
    let name = order.product.name();
    let to = format!("usr/share/doc/{name}");
    tree.file(format!("{to}/THIRD-PARTY.gz"), 0o644, gzipped(licences.as_bytes())?);
    let date = run::must(
        run::command(["date", "--utc", "--rfc-email", "--date"]).arg(format!("@{moment}")).env("LC_ALL", "C"),
    )?;
    let log = format!(
        "{name} ({VERSION}-{}) unstable; urgency=medium\n\n  * Made from the sources of version {VERSION}.\n\n \
         -- Firstlight maintainers <maintainers@firstlight.invalid>  {}\n",
        order.revision,
        date.trim()
    );
    tree.file(format!("{to}/changelog.Debian.gz"), 0o644, gzipped(log.as_bytes())?);
    put(
        &mut tree,
        &format!("packaging/debian/{name}.lintian-overrides"),
        &format!("usr/share/lintian/overrides/{name}"),
    )?;
    Ok(tree)
}

/// With the folders of Fedora and its relatives.
pub(super) fn rpm(order: &Order, tree: Layer, licences: &str) -> Layer {
    let mut tree = elsewhere(tree);
    tree.file(format!("usr/share/licenses/{}/THIRD-PARTY", order.product.name()), 0o644, licences);
    tree
}

pub(super) fn tarball(tree: Layer, licences: &str) -> Layer {
    let mut tree = elsewhere(tree);
    tree.file("THIRD-PARTY", 0o644, licences);
    tree
}

fn elsewhere(tree: Layer) -> Layer {
    tree.renamed(|path| match path.strip_prefix(ZSH) {
        Ok(name) => Path::new(ZSH_ELSEWHERE).join(name),
        Err(_) => path.to_owned(),
    })
}

/// Whether a file is configuration: kept where it was changed.
pub(super) fn is_configuration(path: &Path, entry: &Entry) -> bool {
    path.starts_with("etc") && matches!(entry, Entry::File { .. })
}
