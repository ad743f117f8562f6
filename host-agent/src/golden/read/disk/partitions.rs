//! The parts of a disk: of a GPT, of an MBR, or the whole disk as one.
//!
//! Source: UEFI specification, 5.3; the MBR's four entries at 446.

use std::io;

const SECTOR: u64 = 512;
/// Entries of a GPT that are looked at; as many as tools make.
const MOST: u64 = 128;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Partition {
    /// In bytes.
    pub(super) start: u64,
    pub(super) name: String,
}

type ReadAt<'a> = &'a mut dyn FnMut(u64, &mut [u8]) -> io::Result<()>;

/// In their order; what cannot be read is not there.
pub(super) fn find(read: ReadAt<'_>) -> Vec<Partition> {
    let mut found = gpt(read, SECTOR);
    if found.is_empty() {
        found = gpt(read, 4096);
    }
    if found.is_empty() {
        found = mbr(read);
    }
    if found.is_empty() {
        found.push(Partition { start: 0, name: "disk".to_owned() });
    }
    found
}

fn gpt(read: ReadAt<'_>, sector: u64) -> Vec<Partition> {
    let mut header = [0; 92];
    if read(sector, &mut header).is_err() || &header[..8] != b"EFI PART" {
        return Vec::new();
    }
    let size = u64::from(u32_at(&header, 84));
    let (first, count) = (u64_at(&header, 72), u64::from(u32_at(&header, 80)).min(MOST));
    let mut found = Vec::new();
    for place in 0..count {
        let mut entry = [0; 48];
        let at = first.checked_mul(sector).and_then(|at| at.checked_add(place * size));
        if at.is_none_or(|at| read(at, &mut entry).is_err()) || size < 128 {
            break;
        }
        let start = u64_at(&entry, 32).checked_mul(sector);
        if let Some(start) = start.filter(|start| *start > 0 && entry[..16] != [0; 16]) {
            found.push(Partition { start, name: format!("partition {}", place + 1) });
        }
    }
    found
}

fn mbr(read: ReadAt<'_>) -> Vec<Partition> {
    let mut sector = [0; 512];
    if read(0, &mut sector).is_err() || sector[510..] != [0x55, 0xaa] {
        return Vec::new();
    }
    let entry = |place: usize| {
        let entry = &sector[446 + place * 16..][..16];
        let start = u64::from(u32_at(entry, 8)) * SECTOR;
        (entry[4] != 0 && start > 0).then(|| Partition { start, name: format!("partition {}", place + 1) })
    };
    (0..4).filter_map(entry).collect()
}

/// Little-endian.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(disk: &[u8]) -> Vec<u64> {
        let mut read = |offset: u64, buffer: &mut [u8]| {
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            let bytes = disk.get(start..).and_then(|rest| rest.get(..buffer.len()));
            bytes
                .map(|bytes| buffer.copy_from_slice(bytes))
                .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
        };
        find(&mut read).into_iter().map(|part| part.start).collect()
    }

    #[test]
    fn both_tables_are_read_and_none_is_the_whole_disk() {
        assert_eq!(starts(&[0; 4096]), [0]);
        assert_eq!(starts(b""), [0]);
        let mut mbr = vec![0; 4096];
        mbr[510..512].copy_from_slice(&[0x55, 0xaa]);
        mbr[446 + 16 + 4] = 0x83;
        mbr[446 + 16 + 8..][..4].copy_from_slice(&2048u32.to_le_bytes());
        assert_eq!(starts(&mbr), [1 << 20]);
        for sector in [512, 4096] {
            let mut gpt = mbr.clone();
            gpt.resize(8 * sector, 0);
            gpt[sector..sector + 8].copy_from_slice(b"EFI PART");
            gpt[sector + 72] = 2;
            gpt[sector + 80] = 4;
            gpt[sector + 84] = 128;
            let second = 2 * sector + 128;
            gpt[second] = 1;
            gpt[second + 32] = 6;
            assert_eq!(starts(&gpt), [6 * sector as u64]);
            // Numbers that lead nowhere.
            gpt[sector + 72..sector + 80].copy_from_slice(&[0xff; 8]);
            gpt[sector + 80..sector + 88].copy_from_slice(&[0xff; 8]);
            assert_eq!(starts(&gpt), [1 << 20]);
        }
    }
}
