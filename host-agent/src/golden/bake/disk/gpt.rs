//! A disk's partition table (GPT) with its protective MBR. Pure.
//!
//! Source: UEFI specification 2.10, 5.2 and 5.3.

/// Bytes.
pub(super) const SECTOR: u64 = 512;
/// Partitions begin at whole mebibytes, in sectors.
pub(super) const ALIGNMENT: u64 = 2048;
const ENTRIES: usize = 128;
const ENTRY: usize = 128;
/// Of the entries, in sectors.
const TABLE: u64 = (ENTRIES * ENTRY) as u64 / SECTOR;

/// A partition, in sectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Partition {
    pub(super) kind: Guid,
    pub(super) id: Guid,
    pub(super) first: u64,
    pub(super) count: u64,
    pub(super) name: &'static str,
}

/// As it is written: `c12a7328-f81f-11d2-ba4b-00a0c93ec93b` is these 16 bytes in that order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Guid(pub(super) [u8; 16]);

impl Guid {
    /// The first three fields are little-endian on the disk.
    const fn on_disk(self) -> [u8; 16] {
        let b = self.0;
        [b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]]
    }
}

impl std::fmt::Display for Guid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = hex::encode(self.0);
        write!(f, "{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
    }
}

/// The last sector that partitions may have.
pub(super) const fn last_usable(sectors: u64) -> u64 {
    sectors - TABLE - 2
}

/// Where to write what. `code`: what the BIOS starts.
pub(super) fn table(sectors: u64, disk: Guid, partitions: &[Partition], code: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut entries = vec![0; ENTRIES * ENTRY];
    for (entry, partition) in entries.chunks_exact_mut(ENTRY).zip(partitions) {
        entry[..16].copy_from_slice(&partition.kind.on_disk());
        entry[16..32].copy_from_slice(&partition.id.on_disk());
        entry[32..40].copy_from_slice(&partition.first.to_le_bytes());
        entry[40..48].copy_from_slice(&(partition.first + partition.count - 1).to_le_bytes());
        for (unit, at) in partition.name.encode_utf16().take(36).zip(entry[56..].chunks_exact_mut(2)) {
            at.copy_from_slice(&unit.to_le_bytes());
        }
    }
    let crc = crc32(&entries);
    let header = |own: u64, other: u64, table: u64| {
        let mut header = vec![0; 512];
        header[..8].copy_from_slice(b"EFI PART");
        header[8..12].copy_from_slice(&0x0001_0000_u32.to_le_bytes());
        header[12..16].copy_from_slice(&92_u32.to_le_bytes());
        for (at, value) in [(24, own), (32, other), (40, TABLE + 2), (48, last_usable(sectors)), (72, table)]
        {
            header[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        header[56..72].copy_from_slice(&disk.on_disk());
        header[80..84].copy_from_slice(&128_u32.to_le_bytes());
        header[84..88].copy_from_slice(&128_u32.to_le_bytes());
        header[88..92].copy_from_slice(&crc.to_le_bytes());
        let own_crc = crc32(&header[..92]);
        header[16..20].copy_from_slice(&own_crc.to_le_bytes());
        header
    };
    let last = sectors - 1;
    vec![
        (0, protective(sectors, code)),
        (1, header(1, last, 2)),
        (2, entries.clone()),
        (last - TABLE, entries),
        (last, header(last, 1, last - TABLE)),
    ]
}

fn protective(sectors: u64, code: &[u8]) -> Vec<u8> {
    let mut mbr = vec![0; 512];
    // Behind it stand the disk's signature and the old table.
    let length = code.len().min(440);
    mbr[..length].copy_from_slice(&code[..length]);
    mbr[446..454].copy_from_slice(&[0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff]);
    mbr[454..458].copy_from_slice(&1_u32.to_le_bytes());
    let count = u32::try_from(sectors - 1).unwrap_or(u32::MAX);
    mbr[458..462].copy_from_slice(&count.to_le_bytes());
    mbr[510..].copy_from_slice(&[0x55, 0xaa]);
    mbr
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tables_name_the_same_partitions_and_each_other() {
        let guid = |byte| Guid([byte; 16]);
        let partition = Partition { kind: guid(1), id: guid(2), first: 2048, count: 2048, name: "root" };
        let sectors = 1 << 20;
        let parts = table(sectors, guid(3), &[partition], &[0xeb, 0x63]);
        let starts: Vec<u64> = parts.iter().map(|(at, _)| *at).collect();
        assert_eq!(starts, [0, 1, 2, sectors - 33, sectors - 1]);
        assert!(parts[0].1.starts_with(&[0xeb, 0x63]) && parts[0].1.ends_with(&[0x55, 0xaa]));
        let word = |header: &[u8], at: usize| u64::from_le_bytes(header[at..at + 8].try_into().unwrap());
        let (main, spare) = (&parts[1].1, &parts[4].1);
        assert_eq!((word(main, 24), word(main, 32), word(main, 72)), (1, sectors - 1, 2));
        assert_eq!((word(spare, 24), word(spare, 32), word(spare, 72)), (sectors - 1, 1, sectors - 33));
        for header in [main, spare] {
            let mut bare = header[..92].to_vec();
            bare[16..20].fill(0);
            assert_eq!(header[16..20], crc32(&bare).to_le_bytes());
            assert_eq!(header[88..92], crc32(&parts[2].1).to_le_bytes());
        }
        assert_eq!(word(&parts[2].1, 40), 4095);
        assert_eq!(&parts[2].1[56..64], b"r\0o\0o\0t\0");
        let esp: Vec<u8> = (0..16).collect();
        let guid = Guid(esp.try_into().unwrap());
        assert_eq!(guid.to_string(), "00010203-0405-0607-0809-0a0b0c0d0e0f");
        assert_eq!(guid.on_disk()[..8], [3, 2, 1, 0, 5, 4, 7, 6]);
    }
}
