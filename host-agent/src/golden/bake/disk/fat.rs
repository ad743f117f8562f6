//! An EFI system partition with one program in it: FAT32, `/EFI/BOOT/NAME`. Pure.
//!
//! Source: Microsoft's FAT32 file system specification, 1.03.

use super::gpt::SECTOR;

const RESERVED: u32 = 32;
/// The volume begins behind what UEFI reads first; a cluster is a sector.
const ROOT: u32 = 2;
const EFI: u32 = 3;
const BOOT: u32 = 4;
const PROGRAM: u32 = 5;
const END: u32 = 0x0fff_ffff;
/// A volume of fewer clusters is none of FAT32.
const LEAST: u32 = 65_525;

/// The first bytes of such a volume; what is behind them is zeros. None: it does not fit, or is too small for FAT32.
///
/// `name`: as on the disk, `BOOTX64 EFI`. `date`: year, month, day.
pub(super) fn volume(
    sectors: u32,
    serial: u32,
    hidden: u32,
    name: &[u8; 11],
    program: &[u8],
    date: [u64; 3],
) -> Option<Vec<u8>> {
    let sector = usize::try_from(SECTOR).ok()?;
    // Four bytes of a table for each cluster; a few too many do no harm.
    let table = (sectors.checked_sub(RESERVED)? + 2).div_ceil(128);
    let data = RESERVED + 2 * table;
    let clusters = sectors.checked_sub(data)?;
    let used = u32::try_from(program.len().div_ceil(sector)).ok()?;
    if clusters < LEAST || PROGRAM + used > clusters {
        return None;
    }
    let mut bytes = vec![0; sector * usize::try_from(data + (PROGRAM - ROOT) + used).ok()?];
    let boot = boot_sector(sectors, table, serial, hidden);
    let information = information(clusters - (PROGRAM - ROOT) - used);
    for (at, content) in [(0, &boot), (1, &information), (6, &boot), (7, &information)] {
        bytes[at * sector..(at + 1) * sector].copy_from_slice(content);
    }
    let mut entries = vec![0x0fff_fff8, END, END, END, END];
    entries.extend((1..=used).map(|number| if number == used { END } else { PROGRAM + number }));
    for copy in 0..2 {
        let start = sector * usize::try_from(RESERVED + copy * table).ok()?;
        for (entry, at) in entries.iter().zip(bytes[start..].chunks_exact_mut(4)) {
            at.copy_from_slice(&entry.to_le_bytes());
        }
    }
    let size = u32::try_from(program.len()).ok()?;
    let stamp = stamp(date);
    let folder = |name: &[u8; 11], cluster| entry(name, true, cluster, 0, stamp);
    let folders = [
        (ROOT, [folder(b"EFI        ", EFI)].concat()),
        (
            EFI,
            [folder(b".          ", EFI), folder(b"..         ", 0), folder(b"BOOT       ", BOOT)].concat(),
        ),
        (
            BOOT,
            [
                folder(b".          ", BOOT),
                folder(b"..         ", EFI),
                entry(name, false, PROGRAM, size, stamp),
            ]
            .concat(),
        ),
        (PROGRAM, program.to_vec()),
    ];
    for (cluster, content) in folders {
        let start = sector * usize::try_from(data + cluster - ROOT).ok()?;
        bytes[start..start + content.len()].copy_from_slice(&content);
    }
    Some(bytes)
}

fn boot_sector(sectors: u32, table: u32, serial: u32, hidden: u32) -> Vec<u8> {
    let mut boot = vec![0; 512];
    let mut put = |at: usize, bytes: &[u8]| boot[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &[0xeb, 0x58, 0x90]);
    put(3, b"mkfs.fat");
    put(11, &512_u16.to_le_bytes());
    put(13, &[1]);
    put(14, &32_u16.to_le_bytes());
    put(16, &[2]);
    put(21, &[0xf8]);
    put(24, &32_u16.to_le_bytes());
    put(26, &8_u16.to_le_bytes());
    put(28, &hidden.to_le_bytes());
    put(32, &sectors.to_le_bytes());
    put(36, &table.to_le_bytes());
    put(44, &ROOT.to_le_bytes());
    put(48, &1_u16.to_le_bytes());
    put(50, &6_u16.to_le_bytes());
    put(64, &[0x80, 0, 0x29]);
    put(67, &serial.to_le_bytes());
    put(71, b"NO NAME    FAT32   ");
    put(510, &[0x55, 0xaa]);
    boot
}

fn information(free: u32) -> Vec<u8> {
    let mut sector = vec![0; 512];
    sector[..4].copy_from_slice(b"RRaA");
    sector[484..488].copy_from_slice(b"rrAa");
    sector[488..492].copy_from_slice(&free.to_le_bytes());
    sector[492..496].copy_from_slice(&u32::MAX.to_le_bytes());
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

fn entry(name: &[u8; 11], is_folder: bool, cluster: u32, size: u32, stamp: u16) -> [u8; 32] {
    let mut entry = [0; 32];
    entry[..11].copy_from_slice(name);
    entry[11] = if is_folder { 0x10 } else { 0x20 };
    let cluster = cluster.to_le_bytes();
    entry[20..22].copy_from_slice(&cluster[2..]);
    entry[26..28].copy_from_slice(&cluster[..2]);
    for at in [16, 18, 24] {
        entry[at..at + 2].copy_from_slice(&stamp.to_le_bytes());
    }
    entry[28..].copy_from_slice(&size.to_le_bytes());
    entry
}

/// A day, as FAT counts; its years begin with 1980.
fn stamp([year, month, day]: [u64; 3]) -> u16 {
    let years = year.saturating_sub(1980).min(127);
    u16::try_from(years << 9 | (month & 15) << 5 | day & 31).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &[u8; 11] = b"BOOTX64 EFI";

    #[test]
    fn the_program_is_where_firmware_looks_for_it() {
        let program: Vec<u8> = (0..1300_u32).map(|n| n.to_le_bytes()[0]).collect();
        let bytes = volume(131_072, 7, 4096, NAME, &program, [2026, 9, 12]).unwrap();
        let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let table = number(36);
        let data = usize::try_from(RESERVED + 2 * table).unwrap() * 512;
        let fat = |cluster: usize| number(32 * 512 + 4 * cluster);
        assert_eq!([fat(2), fat(5), fat(6), fat(7), fat(8)], [END, 6, 7, END, 0]);
        assert_eq!(&bytes[data..data + 11], b"EFI        ");
        assert_eq!(&bytes[data + 512 + 64..data + 512 + 75], b"BOOT       ");
        let file = data + 1024 + 64;
        assert_eq!((&bytes[file..file + 11], number(file + 28)), (NAME.as_slice(), 1300));
        assert_eq!(bytes[data + 1536..data + 1536 + 1300], program);
        assert_eq!(bytes[file + 24..file + 26], (46_u16 << 9 | 9 << 5 | 12).to_le_bytes());
        assert_eq!(number(488 + 512), 131_072 - (RESERVED + 2 * table) - 3 - 3);
    }

    #[test]
    fn what_is_no_fat32_or_does_not_fit_is_not_made() {
        assert_eq!(volume(60_000, 7, 0, NAME, b"x", [2026, 1, 1]), None);
        assert_eq!(volume(10, 7, 0, NAME, b"x", [2026, 1, 1]), None);
        assert_eq!(volume(131_072, 7, 0, NAME, &vec![0; 70 << 20], [2026, 1, 1]), None);
    }
}
