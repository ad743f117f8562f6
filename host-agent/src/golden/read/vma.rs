//! A machine's archive of Proxmox VE: its header and configuration files. Its disks are not looked at.
//!
//! Source: vma_spec.txt and vma.h of pve-qemu. Numbers are big-endian, lengths of blobs little-endian.

use std::io::Read;

use super::super::collect::Collector;
use crate::packing::{Broken, read_up_to};

pub(super) const MAGIC: &[u8] = b"VMA\0";
/// Up to where the blobs begin.
const HEADER: usize = 12288;
const BLOBS_OFFSET: usize = 48;
const BLOBS_SIZE: usize = 52;
const HEADER_SIZE: usize = 56;
const NAMES: usize = 2044;
const DATA: usize = 3068;
const CONFIGS: usize = 256;
/// Of all configuration files together; Proxmox' own are a few kilobytes.
const MOST: usize = 4 << 20;
/// The one that counts.
pub(crate) const CONFIG: &str = "qemu-server.conf";

pub(super) fn read(mut source: impl Read, collector: &mut Collector) -> Result<(), Broken> {
    let mut header = vec![0; HEADER];
    fill(&mut source, &mut header)?;
    let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap_or_default()) as usize;
    let (offset, size) = (number(BLOBS_OFFSET), number(BLOBS_SIZE));
    if offset != HEADER || size > MOST || number(HEADER_SIZE) < HEADER + size {
        return Err(Broken::Corrupt { last: None, reason: "its header contradicts itself".to_owned() });
    }
    let mut blobs = vec![0; size];
    fill(&mut source, &mut blobs)?;
    for place in 0..CONFIGS {
        let name = blob(&blobs, number(NAMES + place * 4));
        let data = blob(&blobs, number(DATA + place * 4));
        if let (Some(name), Some(data)) = (name, data)
            && name.strip_suffix(b"\0").unwrap_or(name) == CONFIG.as_bytes()
        {
            collector.facts.documents.insert(CONFIG, String::from_utf8_lossy(data).into_owned());
        }
    }
    Ok(())
}

/// Nothing is at 0.
fn blob(blobs: &[u8], at: usize) -> Option<&[u8]> {
    let (length, rest) = blobs.get(at..).filter(|_| at > 0)?.split_first_chunk::<2>()?;
    rest.get(..usize::from(u16::from_le_bytes(*length)))
}

fn fill(source: &mut impl Read, buffer: &mut [u8]) -> Result<(), Broken> {
    match read_up_to(source, buffer) {
        Ok(length) if length == buffer.len() => Ok(()),
        Ok(_) => Err(Broken::Truncated { last: None }),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Err(Broken::Truncated { last: None })
        }
        Err(source) => Err(Broken::Unreadable { source }),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::super::collect::{Leads, Limits};
    use super::*;

    /// A header with these files, as vma_writer writes it.
    pub(crate) fn archive(files: &[(&str, &str)]) -> Vec<u8> {
        let mut header = vec![0; HEADER];
        let mut blobs = vec![0];
        let mut put = |header: &mut Vec<u8>, at: usize, bytes: &[u8]| {
            let place = u32::try_from(blobs.len()).unwrap();
            header[at..at + 4].copy_from_slice(&place.to_be_bytes());
            blobs.extend_from_slice(&u16::try_from(bytes.len()).unwrap().to_le_bytes());
            blobs.extend_from_slice(bytes);
        };
        for (place, (name, text)) in files.iter().enumerate() {
            put(&mut header, NAMES + place * 4, format!("{name}\0").as_bytes());
            put(&mut header, DATA + place * 4, text.as_bytes());
        }
        header[..4].copy_from_slice(MAGIC);
        header[4..8].copy_from_slice(&1u32.to_be_bytes());
        for (at, value) in
            [(BLOBS_OFFSET, HEADER), (BLOBS_SIZE, blobs.len()), (HEADER_SIZE, HEADER + blobs.len())]
        {
            header[at..at + 4].copy_from_slice(&u32::try_from(value).unwrap().to_be_bytes());
        }
        header.extend_from_slice(&blobs);
        header
    }

    fn config(bytes: &[u8]) -> Result<Option<String>, Broken> {
        let mut collector = Collector::new(Limits { bytes: 1, entries: 1 }, Leads::default());
        read(bytes, &mut collector).map(|()| collector.facts.documents.remove(CONFIG))
    }

    #[test]
    fn the_configuration_is_found_among_the_blobs() {
        let bytes = archive(&[("qemu-server.fw", "x"), (CONFIG, "args: -x\n")]);
        assert_eq!(config(&bytes).unwrap().as_deref(), Some("args: -x\n"));
        assert_eq!(config(&archive(&[])).unwrap(), None);
    }

    #[test]
    fn a_header_that_lies_is_told() {
        let whole = archive(&[(CONFIG, "args: -x\n")]);
        for length in [0, 4, HEADER - 1, whole.len() - 1] {
            assert!(matches!(config(&whole[..length]), Err(Broken::Truncated { .. })), "{length}");
        }
        for at in [BLOBS_OFFSET, BLOBS_SIZE, HEADER_SIZE] {
            let mut bytes = whole.clone();
            bytes[at..at + 4].copy_from_slice(&[0xff, 0xff, 0xff, if at == HEADER_SIZE { 0 } else { 0xff }]);
            let told = config(&bytes);
            assert!(at == HEADER_SIZE || matches!(told, Err(Broken::Corrupt { .. })), "{at}: {told:?}");
        }
        let mut bytes = whole;
        bytes[DATA..DATA + 4].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff]);
        assert_eq!(config(&bytes).unwrap(), None);
    }
}
