//! Real file systems, as mke2fs makes them, in every wrapping.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::super::testing::{Image, LIMITS, names};
use super::super::super::{Target, lint};

const BLOCK: usize = 64 << 10;

/// A root on ext4, made without rights and without mounting.
fn ext4(folder: &Path, image: &Image) -> Vec<u8> {
    let (root, disk) = (folder.join("root"), folder.join("disk"));
    std::fs::create_dir(&root).unwrap();
    image.put(&root);
    let made = Command::new("mke2fs")
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .args(["-q", "-F", "-t", "ext4", "-d"])
        .arg(&root)
        .arg(&disk)
        .arg("8M")
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    std::fs::read(disk).unwrap()
}

/// The root as a raw disk, and as qcow2.
pub(in super::super) fn both(image: &Image) -> (Vec<u8>, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let system = ext4(folder.path(), image);
    let wrapped = in_qcow2(&system);
    (system, wrapped)
}

fn in_partition(system: &[u8]) -> Vec<u8> {
    let mut disk = vec![0; 1 << 20];
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk[446 + 4] = 0x83;
    disk[446 + 8..][..4].copy_from_slice(&2048u32.to_le_bytes());
    disk.extend_from_slice(system);
    disk
}

/// Version 3, clusters of 64 KiB: every other one compressed, those of zeros left out.
fn in_qcow2(disk: &[u8]) -> Vec<u8> {
    let clusters: Vec<&[u8]> = disk.chunks(BLOCK).collect();
    let mut out = vec![0; 3 * BLOCK];
    out[..4].copy_from_slice(b"QFI\xfb");
    let put = |out: &mut Vec<u8>, at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
    put(&mut out, 4, &3u32.to_be_bytes());
    put(&mut out, 20, &16u32.to_be_bytes());
    put(&mut out, 24, &(disk.len() as u64).to_be_bytes());
    put(&mut out, 36, &1u32.to_be_bytes());
    put(&mut out, 40, &(BLOCK as u64).to_be_bytes());
    put(&mut out, 100, &104u32.to_be_bytes());
    put(&mut out, BLOCK, &((2 * BLOCK as u64) | (1 << 63)).to_be_bytes());
    for (place, cluster) in clusters.iter().enumerate() {
        if cluster.iter().all(|byte| *byte == 0) {
            continue;
        }
        let mut whole = cluster.to_vec();
        whole.resize(BLOCK, 0);
        let entry = if place % 2 == 0 {
            out.resize(out.len().next_multiple_of(BLOCK), 0);
            let at = out.len() as u64;
            out.extend_from_slice(&whole);
            at | (1 << 63)
        } else {
            let at = out.len();
            let mut packer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
            packer.write_all(&whole).unwrap();
            out.extend_from_slice(&packer.finish().unwrap());
            let sectors = (out.len() - 1) / 512 - at / 512;
            at as u64 | ((sectors as u64) << 54) | (1 << 62)
        };
        put(&mut out, 2 * BLOCK + place * 8, &entry.to_be_bytes());
    }
    out
}

fn written(folder: &Path, bytes: &[u8]) -> PathBuf {
    let path = folder.join("image");
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_root_on_a_disk_is_looked_at_in_every_wrapping() {
    let planted = Image::sealed()
        .file("etc/ssh/ssh_host_rsa_key", "x")
        .link("root", "var/roothome")
        .file("var/roothome/.bash_history", "x");
    for (image, expected) in [(Image::sealed(), vec![]), (planted, vec!["ssh-host-keys", "histories"])] {
        let folder = tempfile::tempdir().unwrap();
        let system = ext4(folder.path(), &image);
        for bytes in
            [system.clone(), in_partition(&system), in_qcow2(&system), in_qcow2(&in_partition(&system))]
        {
            let report = lint(&written(folder.path(), &bytes), Some(Target::ProxmoxLxc), LIMITS).unwrap();
            assert_eq!(
                (report.shape, names(&report.findings), report.incomplete),
                ("disk", expected.clone(), false)
            );
        }
    }
}

#[test]
fn what_cannot_be_read_never_passes() {
    let folder = tempfile::tempdir().unwrap();
    let system = ext4(folder.path(), &Image::default().file("home/x", "x"));
    let mut encrypted = in_qcow2(&system);
    encrypted[35] = 1;
    let mut backed = in_qcow2(&system);
    backed[15] = 1;
    let mut new = in_qcow2(&system);
    new[79] = 0x10;
    for bytes in [system.clone(), in_partition(&system), in_partition(&[0; 4096]), encrypted, backed, new] {
        let report = lint(&written(folder.path(), &bytes), None, LIMITS).unwrap();
        assert_eq!((names(&report.findings), report.incomplete), (vec!["format-not-read"], true));
    }
}

/// Of a second part nothing is proven, whatever the root is like.
#[test]
fn a_part_that_is_not_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut volume = vec![0; 1 << 20];
    volume[512..520].copy_from_slice(b"LABELONE");
    for (system, shown) in [
        (ext4(folder.path(), &Image::sealed()), "a volume of LVM is not read here"),
        (vec![0; 1 << 20], "a disk without a root on ext2, ext3 or ext4 (partition 2 is a volume of LVM)"),
    ] {
        let mut disk = in_partition(&system);
        disk[446 + 16 + 4] = 0x8e;
        let at = u32::try_from(disk.len() / 512).unwrap();
        disk[446 + 16 + 8..][..4].copy_from_slice(&at.to_le_bytes());
        disk.extend_from_slice(&volume);
        let report = lint(&written(folder.path(), &disk), None, LIMITS).unwrap();
        assert_eq!((names(&report.findings), report.incomplete), (vec!["format-not-read"], true));
        assert!(report.findings[0].danger.starts_with(shown), "{report:?}");
    }
}

#[test]
fn a_damaged_disk_is_told_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let system = ext4(folder.path(), &Image::sealed());
    let image = in_qcow2(&system);
    let (mut told, mut judged) = (0, 0);
    for round in 0..120_usize {
        let mut bytes = if round % 2 == 0 { system.clone() } else { image.clone() };
        // In the super block, the descriptors and inodes; in the header and the tables.
        for step in 0..8 {
            let place = (round * 7919 + step * 104_729)
                % bytes.len().min(if step % 2 == 0 { 2048 } else { 256 << 10 });
            bytes[place] = bytes[place].wrapping_add(u8::try_from(round % 255).unwrap() + 1);
        }
        if round % 5 == 0 {
            bytes.truncate(bytes.len() * (round % 7 + 1) / 8);
        }
        match lint(&written(folder.path(), &bytes), None, LIMITS) {
            Ok(_) => judged += 1,
            Err(fault) => {
                assert!(fault.code.starts_with("golden-") && fault.hint.is_some(), "{fault:?}");
                told += 1;
            }
        }
    }
    assert!(told > 5 && judged > 5, "{told} {judged}");
}
