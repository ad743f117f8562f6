//! qcow2, as far as goldens go: versions 2 and 3, compressed clusters too; no backing file, no encryption.
//!
//! Source: docs/interop/qcow2.rst of QEMU. Numbers are big-endian.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

use crate::packing::read_up_to;

pub(super) const MAGIC: [u8; 4] = *b"QFI\xfb";
const HEADER: usize = 112;
/// Incompatible features that change nothing for who only reads: `dirty`, and which compression.
const HARMLESS: u64 = 0b1001;
const ZSTD: u8 = 1;
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
const COMPRESSED: u64 = 1 << 62;
const ZEROS: u64 = 1;

#[derive(Debug)]
pub(super) struct Qcow2 {
    file: File,
    cluster_bits: u32,
    size: u64,
    tables: u64,
    table_count: u64,
    has_zeros: bool,
    is_zstd: bool,
    /// The table of the second level that was read last, by its place in the file.
    table: (u64, Vec<u8>),
    /// The compressed cluster that was read last, by its entry.
    cluster: (u64, Vec<u8>),
}

impl Qcow2 {
    /// # Errors
    /// It cannot be read; `Unsupported`: in a form that is not read here.
    pub(super) fn open(file: File) -> io::Result<Self> {
        let mut header = [0; HEADER];
        let length = read_up_to(&mut &file, &mut header)?;
        let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap_or_default());
        let long = |at: usize| u64::from_be_bytes(header[at..at + 8].try_into().unwrap_or_default());
        let not_read =
            |why: &str| Err(io::Error::new(io::ErrorKind::Unsupported, format!("a qcow2 disk image {why}")));
        let version = number(4);
        let features = if version >= 3 { long(72) } else { 0 };
        let cluster_bits = number(20);
        match () {
            () if length < 72 || !(9..=21).contains(&cluster_bits) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "its qcow2 header contradicts itself",
                ));
            }
            () if !matches!(version, 2 | 3) => return not_read(&format!("of version {version}")),
            () if long(8) != 0 => return not_read("with a backing file"),
            () if number(32) != 0 => return not_read("that is encrypted"),
            () if features & !HARMLESS != 0 => return not_read("with features that are not read"),
            () => {}
        }
        let is_zstd = version >= 3 && number(100) > 104 && header[104] == ZSTD;
        Ok(Self {
            file,
            cluster_bits,
            size: long(24),
            tables: long(40),
            table_count: u64::from(number(36)),
            has_zeros: version >= 3,
            is_zstd,
            table: (0, Vec::new()),
            cluster: (0, Vec::new()),
        })
    }

    pub(super) fn read_at(&mut self, mut offset: u64, mut buffer: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mask = (1u64 << self.cluster_bits) - 1;
        while !buffer.is_empty() {
            let inside = offset & mask;
            let left = usize::try_from(mask + 1 - inside).unwrap_or(usize::MAX).min(buffer.len());
            let (piece, rest) = buffer.split_at_mut(left);
            self.read_piece(offset, usize::try_from(inside).unwrap_or(usize::MAX), piece)?;
            offset += left as u64;
            buffer = rest;
        }
        Ok(())
    }

    /// Within one cluster.
    fn read_piece(&mut self, offset: u64, inside: usize, piece: &mut [u8]) -> io::Result<()> {
        let entry = self.entry(offset)?;
        if entry & COMPRESSED != 0 {
            let cluster = self.unpacked(entry)?;
            let bytes = cluster.get(inside..inside + piece.len()).ok_or(io::ErrorKind::InvalidData)?;
            piece.copy_from_slice(bytes);
        } else if entry & OFFSET == 0 || (self.has_zeros && entry & ZEROS != 0) {
            piece.fill(0);
        } else {
            self.file.read_exact_at(piece, (entry & OFFSET) + inside as u64)?;
        }
        Ok(())
    }

    /// Of the second level; 0: nothing was ever written there.
    fn entry(&mut self, offset: u64) -> io::Result<u64> {
        let per_table = self.cluster_bits - 3;
        let cluster = offset >> self.cluster_bits;
        let place = cluster >> per_table;
        if place >= self.table_count {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut first = [0; 8];
        let at = self.tables.checked_add(place * 8).ok_or(io::ErrorKind::InvalidData)?;
        self.file.read_exact_at(&mut first, at)?;
        let table = u64::from_be_bytes(first) & OFFSET;
        if table == 0 {
            return Ok(0);
        }
        if self.table.0 != table {
            self.table.1.resize(1 << self.cluster_bits, 0);
            self.table.0 = 0;
            self.file.read_exact_at(&mut self.table.1, table)?;
            self.table.0 = table;
        }
        let at = usize::try_from(cluster & ((1 << per_table) - 1)).unwrap_or(usize::MAX).saturating_mul(8);
        let bytes = self.table.1.get(at..).and_then(|rest| rest.first_chunk::<8>());
        bytes.map(|bytes| u64::from_be_bytes(*bytes)).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn unpacked(&mut self, entry: u64) -> io::Result<&[u8]> {
        if self.cluster.0 != entry {
            let bits = 62 - (self.cluster_bits - 8);
            let offset = entry & ((1 << bits) - 1);
            let sectors = ((entry & !COMPRESSED & !(1 << 63)) >> bits) + 1;
            let length = usize::try_from(sectors * 512 - (offset & 511)).map_err(io::Error::other)?;
            let mut packed = vec![0; length];
            // The last one may end with the file.
            let read = read_up_to(&mut At { file: &self.file, offset }, &mut packed)?;
            let mut bytes = vec![0; 1 << self.cluster_bits];
            let filled = match self.is_zstd {
                true => read_up_to(
                    &mut zstd::Decoder::new(&packed[..read])?.take(bytes.len() as u64),
                    &mut bytes,
                )?,
                false => read_up_to(&mut flate2::read::DeflateDecoder::new(&packed[..read]), &mut bytes)?,
            };
            if filled < bytes.len() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.cluster = (entry, bytes);
        }
        Ok(&self.cluster.1)
    }
}

/// A file from a byte on.
struct At<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}
