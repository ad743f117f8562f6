//! The .rpm: rpmbuild packs the staged tree. The specs in `packaging/rpm` say why not cargo-generate-rpm.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{Order, VERSION, emptied, stage, tree};
use crate::golden::{Entry, Layer};
use crate::{paths, run};

/// For `%files -f`: each file with its mode, owner and part.
fn list(tree: &Layer) -> String {
    let mut list = String::new();
    for (path, entry) in tree.entries() {
        let part = match path {
            _ if tree::is_configuration(path, entry) => "%config(noreplace) ",
            _ if path.starts_with("usr/share/doc") => "%doc ",
            _ if path.starts_with("usr/share/licenses") => "%license ",
            _ => "",
        };
        let attributes = match entry {
            Entry::File { mode, .. } => format!("%attr({mode:04o},root,root) "),
            Entry::Link { .. } => String::new(),
        };
        let _ = writeln!(list, "{part}{attributes}\"/{}\"", path.display());
    }
    list
}

pub(super) fn make(order: &Order, layer: &Layer, moment: u64, folder: &Path) -> Result<()> {
    let name = order.product.name();
    let staged = stage(order, "rpm")?;
    layer.write_to(&staged)?;
    let work = emptied(paths::scratch().join("package").join(name).join("rpmbuild"))?;
    let listed = work.join("files");
    fs::write(&listed, list(layer))?;
    let mut build = run::command(["rpmbuild", "-bb", "--quiet", "--target"]);
    build.arg(format!("{}-linux", order.machine()));
    let define = |build: &mut std::process::Command, key: &str, value: &str| {
        build.arg("--define").arg(format!("{key} {value}"));
    };
    let payload = if order.quick { "w1.gzdio" } else { "w19.zstdio" };
    for (key, value) in [
        ("_topdir", &*work.to_string_lossy()),
        ("made_version", VERSION),
        ("made_release", &order.revision.to_string()),
        ("made_license", "Apache-2.0"),
        ("made_tree", &*staged.to_string_lossy()),
        ("made_list", &*listed.to_string_lossy()),
        ("_binary_payload", payload),
        // The same bytes from the same tree.
        ("_buildhost", "localhost"),
        ("use_source_date_epoch_as_buildtime", "1"),
        ("clamp_mtime_to_source_date_epoch", "1"),
        // Files are packed as they are: nothing is stripped, split off or compressed.
        ("__os_install_post", "%{nil}"),
        ("debug_package", "%{nil}"),
        ("_build_id_links", "none"),
        // Where Fedora has it.
        ("_sysconfdir", "/etc"),
    ] {
        define(&mut build, key, value);
    }
    build.arg(paths::root().join(format!("packaging/rpm/{name}.spec")));
    build.env("SOURCE_DATE_EPOCH", moment.to_string()).env("LC_ALL", "C.UTF-8");
    run::must(&mut build)?;
    let file = format!("{name}-{VERSION}-{}.{}.rpm", order.revision, order.machine());
    let made = work.join("RPMS").join(order.machine()).join(&file);
    ensure!(made.is_file(), "rpmbuild made no {}", made.display());
    fs::copy(&made, folder.join(&file)).with_context(|| format!("{file} cannot be put in place"))?;
    fs::set_permissions(folder.join(&file), fs::Permissions::from_mode(0o644))?;
    Ok(())
}
