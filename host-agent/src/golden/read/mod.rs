//! The readers: each hands what it finds to the collector, entry by entry, and writes nothing anywhere.

mod disk;
mod folder;
mod formats;
mod tar;
mod vma;

pub(super) use vma::CONFIG as MACHINE_CONFIG;

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::collect::{Collector, Facts, Leads, Limits, PASSES, Sealed};
use crate::outcome::Fault;
use crate::packing::{self, Broken};

/// What a golden turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Folder,
    Tar,
    /// A raw or qcow2 image of a disk, or of one file system.
    Disk,
    /// A machine's archive of Proxmox: its configuration is read, not its disks.
    Vma,
    /// A format that is not read.
    Sealed(Sealed),
}

/// Looks at the first bytes.
pub(super) fn source(path: &Path) -> io::Result<Source> {
    let about = fs::metadata(path)?;
    if about.is_dir() {
        return Ok(Source::Folder);
    }
    if !about.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a file nor a folder"));
    }
    let mut first = vec![0; formats::FIRST];
    let mut file = File::open(path)?;
    let length = packing::read_up_to(&mut file, &mut first)?;
    if packing::detect(&first[..length]) == packing::Packing::Plain {
        return Ok(plain(&first[..length]));
    }
    let mut unpacked = packing::unpacked(file)?;
    // What is wrong with it is told when it is read.
    let length = packing::read_up_to(&mut unpacked, &mut first).unwrap_or(0);
    Ok(match plain(&first[..length]) {
        Source::Disk => Source::Sealed(formats::compressed(None)),
        Source::Sealed(inner) => Source::Sealed(formats::compressed(Some(inner))),
        other => other,
    })
}

fn plain(first: &[u8]) -> Source {
    let has = |(at, mark): (usize, [u8; 2])| first.get(at..at + 2) == Some(&mark);
    match first {
        _ if first.get(257..262) == Some(b"ustar") => Source::Tar,
        _ if first.starts_with(vma::MAGIC) => Source::Vma,
        // Before all others: what a disk held before may still show behind its beginning.
        _ if has(disk::EXT_MAGIC) => Source::Disk,
        _ => match formats::of_file(first) {
            Some(format) => Source::Sealed(format),
            None if first.starts_with(b"QFI\xfb") || has((510, [0x55, 0xaa])) => Source::Disk,
            None => Source::Tar,
        },
    }
}

/// Reads a golden as often as links lead further.
pub(super) fn read(path: &Path, source: &Source, limits: Limits) -> Result<Facts, Fault> {
    let mut leads = Leads::default();
    let mut pass = 1;
    loop {
        let mut collector = Collector::new(limits, leads);
        read_once(path, source, &mut collector).map_err(|broken| refusal(path, &broken))?;
        match collector.leads(pass == PASSES) {
            Some(more) => leads = more,
            None => return Ok(collector.facts),
        }
        pass += 1;
    }
}

fn read_once(path: &Path, source: &Source, collector: &mut Collector) -> Result<(), Broken> {
    let open = || packing::open_ahead(path).map_err(|source| Broken::Unreadable { source });
    match source {
        Source::Folder => folder::read(path, collector),
        Source::Tar => tar::read(open()?, collector),
        Source::Disk => disk::read(path, collector),
        Source::Vma => vma::read(open()?, collector),
        Source::Sealed(format) => {
            collector.facts.sealed.push(format.clone());
            Ok(())
        }
    }
}

/// A golden that is none, or is broken.
pub(super) fn refusal(path: &Path, broken: &Broken) -> Fault {
    let reason = firstlight_shared::error::Chain(broken).to_string();
    let hint = match broken {
        Broken::Unreadable { source } if source.kind() == io::ErrorKind::InvalidInput => {
            "of a device make a file first: `qemu-img convert -O qcow2 DEVICE golden.qcow2`"
        }
        Broken::NotArchive => {
            "a golden is a root folder, a tar of one, a disk image, a backup of Proxmox VE, or an image or export of Incus"
        }
        other => other.hint(),
    };
    Fault::new(broken.code(), format!("golden {} cannot be looked at: {reason}", path.display()))
        .with_hint(hint)
}

/// A machine's archive with this configuration.
#[cfg(test)]
pub(super) fn vma_of(config: &str) -> Vec<u8> {
    vma::tests::archive(&[("qemu-server.fw", ""), (vma::CONFIG, config)])
}

/// A root as a raw disk, and as qcow2.
#[cfg(test)]
pub(super) fn disks_of(image: &super::testing::Image) -> (Vec<u8>, Vec<u8>) {
    disk::tests::both(image)
}
