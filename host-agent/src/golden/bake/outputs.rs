//! What is made of a sealed root: archives, the folder itself, disks. Each is looked at before it is put in place.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::archive::{self, Before, Written};
use super::recipe::{Format, Recipe, size};
use super::tools::{Tools, not_written};
use super::{Bench, Order, Output, disk, incus, proxmox};
use crate::golden::lint;
use crate::outcome::Fault;

/// One output, still in the build's own folder.
#[derive(Debug)]
pub(super) struct Made {
    at: PathBuf,
    /// Its path is where it goes.
    pub(super) output: Output,
}

/// How an output is called.
fn name(recipe: &Recipe, format: Format, epoch: u64) -> String {
    match format {
        Format::Pve => proxmox::name(recipe, epoch),
        Format::Incus => incus::name(recipe),
        Format::Dir => recipe.name.clone(),
        Format::Tar => format!("{}.tar.zst", recipe.name),
        Format::Raw => format!("{}.raw", recipe.name),
        Format::Qcow2 => format!("{}.qcow2", recipe.name),
    }
}

/// # Errors
/// `output-exists`: one is there already, and is not to be replaced.
pub(super) fn refuse_present(
    order: &Order,
    recipe: &Recipe,
    formats: &[Format],
    epoch: u64,
) -> Result<(), Fault> {
    let kept = order.keep_root.then(|| format!("{}-root", recipe.name));
    let outputs = formats.iter().map(|format| name(recipe, *format, epoch));
    let found = outputs
        .filter(|_| !order.replace)
        .chain(kept)
        .map(|name| order.output.join(name))
        .find(|path| path.symlink_metadata().is_ok());
    match found {
        None => Ok(()),
        Some(path) => Err(Fault::new("output-exists", format!("{} is there already", path.display()))
            .with_hint(
                "move it away, name another --output, or take its place: --replace (a kept root stays)",
            )),
    }
}

/// Makes each of the formats and looks at it.
///
/// # Errors
/// A tool's, or the lint cannot read what was made.
pub(super) fn make(
    bench: &mut Bench<'_>,
    order: &Order,
    recipe: &Recipe,
    formats: &[Format],
    work: &Path,
) -> Result<Vec<Made>, Fault> {
    let root = work.join("root");
    let mut made: Vec<Made> = Vec::new();
    // A disk changes the root (times, and its boot loader's configuration): folder and tar have that too.
    let raw = work.join("disk.raw");
    if formats.iter().any(|format| format.is_machine()) {
        let bytes = size(&recipe.machine.disk).unwrap_or_default();
        let what = format!("{}, GPT with BIOS and UEFI", recipe.machine.disk);
        bench.stage("disk", &what, |tools, _| disk::make(tools, recipe, work, &raw, bytes))?;
    }
    for format in formats {
        let name = name(recipe, *format, bench.tools.epoch);
        let at = match format {
            Format::Dir => root.clone(),
            Format::Raw => raw.clone(),
            _ => work.join(&name),
        };
        let written =
            bench.stage(format.as_str(), &name, |tools, _| write(tools, recipe, *format, work, &at))?;
        let path = order.output.join(&name);
        let report = bench.stage("lint", &name, |_, _| {
            let mut report = lint(&at, None, order.limits)?;
            report.golden = path.display().to_string();
            Ok(report)
        })?;
        let Written { sha256, bytes } = written;
        made.push(Made { at, output: Output { format: *format, path, sha256, bytes, lint: report } });
    }
    Ok(made)
}

fn write(
    tools: Tools<'_>,
    recipe: &Recipe,
    format: Format,
    work: &Path,
    at: &Path,
) -> Result<Written, Fault> {
    let root = work.join("root");
    let beside = |folder: &str, name: &str, text: String| -> Result<PathBuf, Fault> {
        let folder = work.join(folder);
        put(&folder, name, &text).map_err(|error| not_written(&error))?;
        Ok(folder)
    };
    match format {
        Format::Pve => {
            let folder = beside("pve", proxmox::CONFIGURATION, proxmox::configuration(recipe))?;
            let name = format!("./{}", proxmox::CONFIGURATION);
            archive::write(tools, &root, Some(Before { folder: &folder, name: &name }), None, at)
        }
        Format::Incus => {
            let folder = beside("incus", incus::METADATA, incus::metadata(recipe, tools.epoch))?;
            let before = Before { folder: &folder, name: incus::METADATA };
            archive::write(tools, &root, Some(before), Some(incus::ROOT), at)
        }
        Format::Tar => archive::write(tools, &root, None, None, at),
        Format::Dir => archive::digest(tools, &root),
        Format::Raw => archive::digest_of_file(tools, at),
        Format::Qcow2 => {
            let path = |path: &Path| path.display().to_string();
            let words =
                ["convert", "-f", "raw", "-O", "qcow2", "-c", &path(&work.join("disk.raw")), &path(at)];
            tools.run("qemu-img", &words, |_| ())?;
            archive::digest_of_file(tools, at)
        }
    }
}

/// A file whose owner and mode do not depend on who builds.
fn put(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let file = folder.join(name);
    fs::create_dir_all(file.parent().unwrap_or(folder))?;
    fs::write(&file, text)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644))
}

/// All of them, at the end, each by a rename.
///
/// # Errors
/// A folder that is to be replaced cannot be removed, or a rename fails.
pub(super) fn put_in_place(made: &[Made], replace: bool) -> Result<(), Fault> {
    for one in made {
        let to = &one.output.path;
        let there = to.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        let cleared = if there && replace { fs::remove_dir_all(to) } else { Ok(()) };
        cleared.and_then(|()| fs::rename(&one.at, to)).map_err(|error| {
            Fault::new("build-not-written", format!("{}: {error}", to.display()))
                .with_hint("is it in use? Nothing else of the build is left")
        })?;
    }
    Ok(())
}
