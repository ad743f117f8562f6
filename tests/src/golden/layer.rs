//! A layer: files to append to a base. In a tar archive the later entry wins, so nothing is unpacked to bake it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use firstlight_shared::wire::sha256_hex;

use crate::run;

/// One thing in a layer.
#[derive(Debug, Clone)]
pub enum Entry {
    File { bytes: Vec<u8>, mode: u32 },
    Link { target: String },
}

/// Entries by their path in the root, without a slash before it.
#[derive(Debug, Clone, Default)]
pub struct Layer(BTreeMap<PathBuf, Entry>);

impl Layer {
    pub fn file(&mut self, path: impl Into<PathBuf>, mode: u32, bytes: impl Into<Vec<u8>>) {
        self.0.insert(path.into(), Entry::File { bytes: bytes.into(), mode });
    }

    pub fn link(&mut self, path: impl Into<PathBuf>, target: &str) {
        self.0.insert(path.into(), Entry::Link { target: target.to_owned() });
    }

    pub fn remove(&mut self, path: &str) {
        self.0.remove(Path::new(path));
    }

    /// With other paths.
    #[must_use]
    pub fn renamed(self, rename: impl Fn(&Path) -> PathBuf) -> Self {
        Self(self.0.into_iter().map(|(path, entry)| (rename(&path), entry)).collect())
    }

    pub fn entries(&self) -> impl Iterator<Item = (&Path, &Entry)> {
        self.0.iter().map(|(path, entry)| (path.as_path(), entry))
    }

    /// Takes over a folder, files and links as they are.
    pub fn folder(&mut self, source: &Path, target: &Path) -> Result<()> {
        let entries = fs::read_dir(source).with_context(|| format!("{} cannot be read", source.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("{} cannot be read", source.display()))?;
            let (path, inside) = (entry.path(), target.join(entry.file_name()));
            if path.is_symlink() {
                self.link(inside, &fs::read_link(&path)?.to_string_lossy());
            } else if path.is_dir() {
                self.folder(&path, &inside)?;
            } else {
                let bytes = fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
                let mode = fs::metadata(&path)?.permissions().mode() & 0o7777;
                self.file(inside, mode, bytes);
            }
        }
        Ok(())
    }

    /// Changes whenever anything in the layer does.
    pub fn digest(&self) -> String {
        let mut text = String::new();
        for (path, entry) in &self.0 {
            let content = match entry {
                Entry::File { bytes, mode } => format!("{mode:o} {}", sha256_hex(bytes)),
                Entry::Link { target } => format!("-> {target}"),
            };
            text.push_str(&format!("{} {content}\n", path.display()));
        }
        sha256_hex(text.as_bytes())
    }

    /// Appends the layer to an archive.
    pub fn append_to(&self, archive: &Path) -> Result<()> {
        let stage = tempfile::tempdir().context("a folder for the layer cannot be made")?;
        self.write_to(stage.path())?;
        let names: Vec<&Path> = self.0.keys().map(PathBuf::as_path).collect();
        let mut list = tempfile::NamedTempFile::new().context("a list for tar cannot be made")?;
        for name in self.new_folders(archive)?.iter().map(PathBuf::as_path).chain(names) {
            writeln!(list, "./{}", name.display())?;
        }
        run::must(
            run::command(["tar", "--append", "--no-recursion", "--owner=0", "--group=0", "--numeric-owner"])
                .args(["--mtime=@1700000000", "--file"])
                .arg(archive)
                .arg("--directory")
                .arg(stage.path())
                .arg("--files-from")
                .arg(list.path()),
        )?;
        Ok(())
    }

    /// Writes the layer into a folder, over what is there.
    pub fn write_to(&self, root: &Path) -> Result<()> {
        for (path, entry) in &self.0 {
            let path = root.join(path);
            let parent = path.parent().expect("layer paths have a parent");
            fs::create_dir_all(parent).with_context(|| format!("{} cannot be made", parent.display()))?;
            let _ = fs::remove_file(&path); // what an earlier layer or the base had
            match entry {
                Entry::File { bytes, mode } => {
                    fs::write(&path, bytes)
                        .with_context(|| format!("{} cannot be written", path.display()))?;
                    fs::set_permissions(&path, fs::Permissions::from_mode(*mode))?;
                    if path.parent().is_some_and(|parent| parent.ends_with(".ssh")) {
                        fs::set_permissions(parent, fs::Permissions::from_mode(0o700))?;
                    }
                }
                Entry::Link { target } => symlink(target, &path)?,
            }
        }
        Ok(())
    }

    /// Folders that the base lacks. Those it has are not named: their modes are the base's.
    fn new_folders(&self, archive: &Path) -> Result<BTreeSet<PathBuf>> {
        let listing = run::must(run::command(["tar", "--list", "--file"]).arg(archive))?;
        let known: BTreeSet<&Path> = listing
            .lines()
            .map(|line| Path::new(line.trim_start_matches("./").trim_end_matches('/')))
            .collect();
        let all = self.0.keys().flat_map(|path| path.ancestors().skip(1));
        Ok(all
            .filter(|path| !path.as_os_str().is_empty() && !known.contains(path))
            .map(Path::to_owned)
            .collect())
    }
}
