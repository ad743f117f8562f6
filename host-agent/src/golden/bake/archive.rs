//! Archives of a root that are the same to the byte whenever the root is: sorted, with numbers for owners, and no file
//! younger than the golden's date.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::tools::{Tools, not_written};
use crate::outcome::Fault;

/// Of zstd. A level more is a percent smaller and takes half as long again.
const LEVEL: i32 = 9;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) sha256: String,
    pub(super) bytes: u64,
}

/// Files that stand before the root, in this folder.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before<'a> {
    pub(super) folder: &'a Path,
    pub(super) name: &'a str,
}

/// Arguments of GNU tar. `below`: the folder of the archive that the root is in.
fn arguments(root: &Path, before: Option<Before<'_>>, below: Option<&str>, epoch: u64) -> Vec<OsString> {
    let mut words: Vec<OsString> = [
        "--create",
        "--file=-",
        "--format=posix",
        "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime",
        "--sort=name",
        "--numeric-owner",
        "--xattrs",
        "--xattrs-include=user.*",
        "--xattrs-include=security.capability",
        "--no-acls",
        "--no-selinux",
        "--clamp-mtime",
    ]
    .map(OsString::from)
    .to_vec();
    words.push(format!("--mtime=@{epoch}").into());
    words.extend(below.map(|folder| format!("--transform=flags=rSh;s,^\\.,{folder},").into()));
    let mut part = |folder: &Path, name: &str| {
        words.push(OsString::from("--directory"));
        words.push(folder.as_os_str().to_owned());
        words.push(OsString::from(name));
    };
    if let Some(before) = before {
        part(before.folder, before.name);
    }
    part(root, ".");
    words
}

/// Writes the root, and what stands before it, as `tar.zst`.
///
/// # Errors
/// tar's, or what keeps the file from being written.
pub(super) fn write(
    tools: Tools<'_>,
    root: &Path,
    before: Option<Before<'_>>,
    below: Option<&str>,
    to: &Path,
) -> Result<Written, Fault> {
    let lost = |error: io::Error| not_written(&error);
    let file = Counted::new(File::create_new(to).map_err(lost)?);
    let mut encoder = zstd::Encoder::new(file, LEVEL).map_err(lost)?;
    encoder.include_checksum(true).map_err(lost)?;
    tools.stream("tar", &arguments(root, before, below, tools.epoch), &mut encoder)?;
    let (file, written) = encoder.finish().map_err(lost)?.finish();
    file.sync_all().map_err(lost)?;
    Ok(written)
}

/// The digest of the root as tar: of a folder itself there is none.
///
/// # Errors
/// tar's.
pub(super) fn digest(tools: Tools<'_>, root: &Path) -> Result<Written, Fault> {
    let mut counted = Counted::new(io::sink());
    tools.stream("tar", &arguments(root, None, None, tools.epoch), &mut counted)?;
    Ok(counted.finish().1)
}

/// The digest of a file.
///
/// # Errors
/// It cannot be read.
pub(super) fn digest_of_file(tools: Tools<'_>, path: &Path) -> Result<Written, Fault> {
    let lost = |error: io::Error| not_written(&error);
    let mut file = File::open(path).map_err(lost)?;
    let mut counted = Counted::new(io::sink());
    let mut buffer = vec![0; 1 << 20];
    loop {
        tools.watch.check()?;
        match io::Read::read(&mut file, &mut buffer).map_err(lost)? {
            0 => return Ok(counted.finish().1),
            count => counted.write_all(&buffer[..count]).map_err(lost)?,
        }
    }
}

/// Counts and digests what passes.
#[derive(Debug)]
struct Counted<W> {
    sink: W,
    digest: Sha256,
    bytes: u64,
}

impl<W> Counted<W> {
    fn new(sink: W) -> Self {
        Self { sink, digest: Sha256::new(), bytes: 0 }
    }

    fn finish(self) -> (W, Written) {
        (self.sink, Written { sha256: hex::encode(self.digest.finalize()), bytes: self.bytes })
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.sink.write(bytes)?;
        self.digest.update(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}
