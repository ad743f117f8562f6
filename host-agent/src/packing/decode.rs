//! Finds out how a golden is compressed, by its first bytes, and undoes it.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Error as XzError, Stream};

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

/// What an xz archive may have of memory to be unpacked: `xz -9` wants 65 MiB, its header may want 4 GiB. (zstd's default is
/// 128 MiB.)
const XZ_MEMORY: u64 = 256 << 20;

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
            let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)?;
            let decoder = XzDecoder::new_stream(file, stream);
            Box::new(BufReader::with_capacity(BUFFER, Explained(decoder)))
        }
    })
}

/// Says in our words that an archive wants too much memory.
struct Explained<R>(R);

impl<R: Read> Read for Explained<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| {
            let xz = error.get_ref().and_then(|inner| inner.downcast_ref::<XzError>());
            if matches!(xz, Some(XzError::MemLimit)) {
                io::Error::other(
                    "it takes more than 256 MiB of memory to unpack: pack it with `xz -9` or less",
                )
            } else {
                error
            }
        })
    }
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
