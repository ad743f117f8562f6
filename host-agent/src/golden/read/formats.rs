//! Formats that are not read here, by their marks, and what to do about each: they are told by name, and nothing is proven about them.
//!
//! Source: file(1)'s magic numbers, util-linux' libblkid, QEMU's block drivers.

use super::super::collect::Sealed;

/// What covers all marks from the beginning of an image.
pub(super) const FIRST: usize = 66 << 10;

const MOUNT: &str = "lint the root that it was made of; or mount it read-only (`guestmount --ro -i -a IMAGE FOLDER`) and lint the folder";
const CONVERT: &str = "`qemu-img convert -O qcow2 IMAGE golden.qcow2`, and lint that";
const LOOP: &str = "lint the root that it was made of; or mount it read-only (`mount -o ro,loop IMAGE FOLDER`) and lint the folder";
const UNSQUASH: &str = "unsquashfs it, and lint the folder";
const DECOMPRESS: &str = "decompress it, and lint that";
const UNPACK: &str = "unpack it into a folder, and lint that";

/// A name with its article, what to do, and the marks: each by itself is enough.
type Format = (&'static str, &'static str, &'static [(u64, &'static [u8])]);

/// What a disk or one of its partitions may hold.
const ON_DISKS: &[Format] = &[
    ("an XFS file system", MOUNT, &[(0, b"XFSB")]),
    ("a Btrfs file system", MOUNT, &[(0x10040, b"_BHRfS_M")]),
    ("an F2FS file system", MOUNT, &[(1024, b"\x10\x20\xf5\xf2")]),
    ("an NTFS file system", MOUNT, &[(3, b"NTFS    ")]),
    ("an EROFS file system", LOOP, &[(1024, b"\xe2\xe1\xf5\xe0")]),
    ("a squashfs", UNSQUASH, &[(0, b"hsqs")]),
    ("an ISO image", LOOP, &[(0x8001, b"CD001")]),
    ("a volume of LVM", MOUNT, &[(512, b"LABELONE"), (0, b"LABELONE")]),
    ("an encrypted volume (LUKS)", "lint the root that it was made of", &[(0, b"LUKS\xba\xbe")]),
    ("a part of a software RAID", MOUNT, &[(4096, b"\xfc\x4e\x2b\xa9"), (0, b"\xfc\x4e\x2b\xa9")]),
];

/// What a file may be besides.
const FILES: &[Format] = &[
    ("a VMDK disk image", CONVERT, &[(0, b"KDMV"), (0, b"COWD"), (0, b"# Disk DescriptorFile")]),
    ("a VDI disk image", CONVERT, &[(64, b"\x7f\x10\xda\xbe")]),
    ("a VHD disk image", CONVERT, &[(0, b"conectix")]),
    ("a VHDX disk image", CONVERT, &[(0, b"vhdxfile")]),
    ("a QED disk image", CONVERT, &[(0, b"QED\0")]),
    ("a Parallels disk image", CONVERT, &[(0, b"WithoutFreeSpace"), (0, b"WithouFreSpacExt")]),
    ("a qcow disk image of version 1", CONVERT, &[(0, b"QFI\xfb\0\0\0\x01")]),
    ("a file compressed with bzip2", DECOMPRESS, &[(4, b"1AY&SY")]),
    ("a file compressed with lz4", DECOMPRESS, &[(0, b"\x04\x22\x4d\x18")]),
    ("a file compressed with lzip", DECOMPRESS, &[(0, b"LZIP")]),
    ("a file compressed with lzop", DECOMPRESS, &[(0, b"\x89LZO\0")]),
    ("a zip archive", UNPACK, &[(0, b"PK\x03\x04")]),
    ("a 7z archive", UNPACK, &[(0, b"7z\xbc\xaf\x27\x1c")]),
    ("a cpio archive", UNPACK, &[(0, b"070701"), (0, b"070702"), (0, b"070707")]),
    ("a stream of Btrfs", UNPACK, &[(0, b"btrfs-stream\0")]),
];

/// What a whole file is, by its first bytes.
pub(super) fn of_file(first: &[u8]) -> Option<Sealed> {
    known(&[ON_DISKS, FILES], &mut |at, mark| {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        first.get(at..).is_some_and(|rest| rest.starts_with(mark))
    })
}

/// What begins here on a disk. `has` says whether these bytes are at this distance.
pub(super) fn on_disk(has: &mut dyn FnMut(u64, &[u8]) -> bool) -> Option<Sealed> {
    known(&[ON_DISKS], has)
}

/// A disk that could be read, and has no root that could.
pub(super) fn no_root(found: &[(&str, Sealed)]) -> Sealed {
    let next = found.first().map_or(MOUNT, |(_, part)| part.next);
    let parts: Vec<String> = found.iter().map(|(name, part)| format!("{name} is {}", part.what)).collect();
    let what = match parts.is_empty() {
        true => "a disk without a root on ext2, ext3 or ext4".to_owned(),
        false => format!("a disk without a root on ext2, ext3 or ext4 ({})", parts.join(", ")),
    };
    Sealed { path: String::new(), what, next }
}

/// An image in a form that its format allows, and that is not read.
pub(super) fn image(what: String) -> Sealed {
    Sealed { path: String::new(), what, next: CONVERT }
}

/// A file system with features that are not read.
pub(super) fn file_system(what: String) -> Sealed {
    Sealed { path: String::new(), what, next: MOUNT }
}

/// The same in a compressed file. None: a disk, whose parts cannot be reached without writing it somewhere.
pub(super) fn compressed(inner: Option<Sealed>) -> Sealed {
    let what = inner.map_or_else(|| "a compressed disk image".to_owned(), |inner| inner.what);
    Sealed { path: String::new(), what, next: DECOMPRESS }
}

fn known(formats: &[&[Format]], has: &mut dyn FnMut(u64, &[u8]) -> bool) -> Option<Sealed> {
    let mut formats = formats.iter().copied().flatten();
    let (what, next, _) = formats.find(|(_, _, marks)| marks.iter().any(|(at, mark)| has(*at, mark)))?;
    Some(Sealed { path: String::new(), what: (*what).to_owned(), next })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_known_by_each_of_its_marks() {
        for (place, formats) in [ON_DISKS, FILES].into_iter().enumerate() {
            for (what, next, marks) in formats {
                for (at, mark) in *marks {
                    let at = usize::try_from(*at).unwrap();
                    let mut bytes = vec![0; FIRST];
                    bytes[at..at + mark.len()].copy_from_slice(mark);
                    let found = of_file(&bytes).unwrap();
                    assert_eq!((found.what.as_str(), found.next), (*what, *next));
                    let mut on_disk_at =
                        |at: u64, mark: &[u8]| bytes[usize::try_from(at).unwrap()..].starts_with(mark);
                    assert_eq!(on_disk(&mut on_disk_at).is_some(), place == 0, "{what}");
                }
            }
        }
        for none in [&b""[..], b"X", b"hello", &[0; FIRST], b"BZh9"] {
            assert_eq!(of_file(none), None);
        }
    }
}
