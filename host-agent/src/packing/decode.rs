//! Finds out how a golden is compressed, by its first bytes, and undoes it.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use super::ahead::Ahead;

/// How a golden is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    Zstandard,
    Xz,
}

/// Large enough that system calls do not show.
const BUFFER: usize = 256 << 10;

pub(crate) fn detect(first: &[u8]) -> Packing {
    match first {
        [0x1f, 0x8b, ..] => Packing::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Packing::Zstandard,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Packing::Xz,
        _ => Packing::Plain,
    }
}

/// Opens a golden for reading as plain tar.
pub(crate) fn open(golden: &Path) -> io::Result<Box<dyn Read + Send>> {
    unpacked(File::open(golden)?)
}

/// The same for who has more to do with the bytes than to pass them on: they are unpacked on a thread of their own.
pub(crate) fn open_ahead(golden: &Path) -> io::Result<Box<dyn Read + Send>> {
    let mut first = [0; 6];
    let length = read_up_to(&mut File::open(golden)?, &mut first)?;
    let unpacked = open(golden)?;
    match detect(&first[..length]) {
        Packing::Plain => Ok(unpacked),
        _ => Ok(Box::new(Ahead::new(unpacked)?)),
    }
}

/// From its beginning.
pub(crate) fn unpacked(mut file: File) -> io::Result<Box<dyn Read + Send>> {
    file.rewind()?;
    let mut first = [0; 6];
    let length = read_up_to(&mut file, &mut first)?;
    file.rewind()?;
    let packing = detect(&first[..length]);
    let file = BufReader::with_capacity(BUFFER, file);
    // All three may consist of several members, as parallel compressors write them.
    Ok(match packing {
        Packing::Plain => Box::new(file),
        Packing::Gzip => {
            Box::new(BufReader::with_capacity(BUFFER, flate2::bufread::MultiGzDecoder::new(file)))
        }
        Packing::Zstandard => Box::new(BufReader::with_capacity(BUFFER, zstd::Decoder::with_buffer(file)?)),
        Packing::Xz => {
            Box::new(BufReader::with_capacity(BUFFER, liblzma::bufread::XzDecoder::new_multi_decoder(file)))
        }
    })
}

/// Fills the buffer as far as there are bytes; says how many.
pub(crate) fn read_up_to(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    // A full buffer is not offered: some readers take the answer 0 for their own end.
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
