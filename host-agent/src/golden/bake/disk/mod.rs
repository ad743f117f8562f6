//! A disk that boots, with a BIOS and with UEFI, made without loop devices and mounts: GPT, a partition for GRUB's core
//! (BIOS), an EFI system partition, and the root as ext4, last, so that it can grow.
//!
//! GRUB is made of the root's own modules, by its own programs, and so is the file system: what boots is what the recipe's
//! suite ships, whatever machine builds.

mod fat;
mod gpt;
mod grub;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use sha2::{Digest as _, Sha256};

use self::gpt::{ALIGNMENT, Guid, Partition, SECTOR};
use super::recipe::{Architecture, Recipe};
use super::tools::{Tools, not_written};
use crate::clock::calendar;
use crate::outcome::Fault;

const BIOS_BOOT: Guid =
    Guid([0x21, 0x68, 0x61, 0x48, 0x64, 0x49, 0x6e, 0x6f, 0x74, 0x4e, 0x65, 0x65, 0x64, 0x45, 0x46, 0x49]);
const EFI_SYSTEM: Guid =
    Guid([0xc1, 0x2a, 0x73, 0x28, 0xf8, 0x1f, 0x11, 0xd2, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b]);
const ROOT_AMD64: Guid =
    Guid([0x4f, 0x68, 0xbc, 0xe3, 0xe8, 0xcd, 0x4d, 0xb1, 0x96, 0xe7, 0xfb, 0xca, 0xf9, 0x84, 0xb7, 0x09]);
const ROOT_ARM64: Guid =
    Guid([0xb9, 0x21, 0xb0, 0x45, 0x1d, 0xf0, 0x41, 0xc3, 0xaf, 0x44, 0x4c, 0x6f, 0x28, 0x0d, 0x3f, 0xae]);

/// In sectors: GRUB's core, and the EFI system partition, the smallest that is FAT32 for certain.
const CORE: u64 = 2048;
const ESP: u64 = 131_072;

/// Features that every GRUB and kernel of the suites reads, whatever the builder's own defaults are.
const MKE2FS: &str = "[defaults]\n\
    base_features = sparse_super,large_file,filetype,resize_inode,dir_index,ext_attr\n\
    default_mntopts = acl,user_xattr\nenable_periodic_fsck = 0\nblocksize = 4096\ninode_size = 256\n\
    inode_ratio = 16384\n[fs_types]\next4 = {\n\
    features = has_journal,extent,huge_file,flex_bg,metadata_csum,64bit,dir_nlink,extra_isize\n}\n";

/// An id that the same golden always has.
fn id(recipe: &Recipe, epoch: u64, what: &str) -> Guid {
    let text = format!(
        "firstlight {} {} {} {epoch} {what}",
        recipe.name,
        recipe.suite,
        recipe.architecture.as_str()
    );
    let digest = Sha256::digest(text);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    // Version 8: what it is made of is its maker's affair (RFC 9562).
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Guid(bytes)
}

/// What names the root to the kernel and to fstab.
pub(super) fn root_id(recipe: &Recipe, epoch: u64) -> String {
    id(recipe, epoch, "root partition").to_string()
}

/// The file systems of the golden.
pub(super) fn fstab(recipe: &Recipe, epoch: u64) -> String {
    format!("PARTUUID={} / ext4 errors=remount-ro,x-systemd.growfs 0 1\n", root_id(recipe, epoch))
}

/// Where everything is on a disk of so many bytes.
fn layout(recipe: &Recipe, epoch: u64, sectors: u64) -> Vec<Partition> {
    let bios = (recipe.architecture == Architecture::Amd64).then_some(("bios", BIOS_BOOT, CORE));
    let root = match recipe.architecture {
        Architecture::Amd64 => ROOT_AMD64,
        Architecture::Arm64 => ROOT_ARM64,
    };
    let mut next = ALIGNMENT;
    let mut partitions = Vec::new();
    for (name, kind, count) in bios.into_iter().chain([("esp", EFI_SYSTEM, ESP), ("root", root, 0)]) {
        let left = (gpt::last_usable(sectors) + 1 - next) / ALIGNMENT * ALIGNMENT;
        let count = if count == 0 { left } else { count };
        let id = id(recipe, epoch, &format!("{name} partition"));
        partitions.push(Partition { kind, id, first: next, count, name });
        next += count;
    }
    partitions
}

/// Makes a raw disk of the root.
///
/// # Errors
/// The root lacks a kernel or GRUB, does not fit, or a tool fails.
pub(super) fn make(
    tools: Tools<'_>,
    recipe: &Recipe,
    work: &Path,
    disk: &Path,
    bytes: u64,
) -> Result<(), Fault> {
    let lost = |error: io::Error| not_written(&error);
    let root = work.join("root");
    let sectors = bytes / SECTOR;
    let partitions = layout(recipe, tools.epoch, sectors);
    let number = partitions.len();
    let Some(of_root) = partitions.last().copied() else { return Ok(()) };
    let boot = grub::make(tools, recipe, &root, number, &root_id(recipe, tools.epoch))?;
    settle(&root, tools.epoch).map_err(lost)?;

    let file = File::create_new(disk).map_err(lost)?;
    file.set_len(bytes).map_err(lost)?;
    file_system(tools, recipe, &root, work, disk, of_root)?;
    let code = boot.bios.as_ref().map_or([].as_slice(), |(code, _)| code);
    for (at, bytes) in gpt::table(sectors, id(recipe, tools.epoch, "disk"), &partitions, code) {
        file.write_all_at(&bytes, at * SECTOR).map_err(lost)?;
    }
    for partition in &partitions {
        let content = match (partition.name, &boot.bios) {
            ("bios", Some((_, core))) => core.clone(),
            ("esp", _) => esp(recipe, tools.epoch, partition, &boot.efi)?,
            _ => continue,
        };
        file.write_all_at(&content, partition.first * SECTOR).map_err(lost)?;
    }
    file.sync_all().map_err(lost)
}

fn esp(recipe: &Recipe, epoch: u64, partition: &Partition, program: &[u8]) -> Result<Vec<u8>, Fault> {
    let name = match recipe.architecture {
        Architecture::Amd64 => b"BOOTX64 EFI",
        Architecture::Arm64 => b"BOOTAA64EFI",
    };
    let [year, month, day, ..] = calendar(epoch);
    let id = partition.id.0;
    let serial = u32::from_le_bytes([id[0], id[1], id[2], id[3]]);
    let number = |value: u64| u32::try_from(value).unwrap_or_default();
    let volume = fat::volume(
        number(partition.count),
        serial,
        number(partition.first),
        name,
        program,
        [year, month, day],
    );
    volume.ok_or_else(|| Fault::new("disk-too-small", "the boot loader does not fit into its partition"))
}

/// Times of files that mke2fs copies: none is younger than the golden, and who read a file does not show.
fn settle(folder: &Path, epoch: u64) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let metadata = fs::symlink_metadata(&path)?;
        if metadata.is_dir() {
            settle(&path, epoch)?;
        }
        clamp(&path, &metadata, epoch)?;
    }
    clamp(folder, &fs::symlink_metadata(folder)?, epoch)
}

fn clamp(path: &Path, metadata: &fs::Metadata, epoch: u64) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let seconds = metadata.mtime().min(i64::try_from(epoch).unwrap_or(i64::MAX));
    let time = TimeSpec::new(seconds, 0);
    Ok(utimensat(AT_FDCWD, path, &time, &time, UtimensatFlags::NoFollowSymlink)?)
}

/// Runs the root's own mke2fs, by the root's own loader: builders with an older one make the same file system.
fn file_system(
    tools: Tools<'_>,
    recipe: &Recipe,
    root: &Path,
    work: &Path,
    disk: &Path,
    partition: Partition,
) -> Result<(), Fault> {
    let configuration = work.join("mke2fs.conf");
    fs::write(&configuration, MKE2FS).map_err(|error| not_written(&error))?;
    let libraries = root.join(format!("usr/lib/{}-linux-gnu", recipe.architecture.machine()));
    let loader = match recipe.architecture {
        Architecture::Amd64 => "ld-linux-x86-64.so.2",
        Architecture::Arm64 => "ld-linux-aarch64.so.1",
    };
    let id = id(recipe, tools.epoch, "root file system").to_string();
    let path = |path: &Path| path.display().to_string();
    let offset = partition.first * SECTOR;
    let words = [
        format!("MKE2FS_CONFIG={}", path(&configuration)),
        // What SOURCE_DATE_EPOCH was called before 1.47.1.
        format!("E2FSPROGS_FAKE_TIME={}", tools.epoch),
        path(&libraries.join(loader)),
        "--library-path".to_owned(),
        path(&libraries),
        path(&root.join("usr/sbin/mke2fs")),
        "-q".to_owned(),
        "-F".to_owned(),
        "-t".to_owned(),
        "ext4".to_owned(),
        "-L".to_owned(),
        "root".to_owned(),
        "-U".to_owned(),
        id.clone(),
        "-E".to_owned(),
        format!("hash_seed={id},root_owner=0:0,nodiscard,offset={offset}"),
        "-d".to_owned(),
        path(root),
        path(disk),
        format!("{}k", partition.count * SECTOR / 1024),
    ];
    tools.run("env", &words, |_| ()).map_err(|fault| match fault.code.as_str() {
        "tool-failed" => fault.with_hint(
            "is the root larger than its disk? A larger one: [machine] disk = \"8G\". The root has to have e2fsprogs",
        ),
        _ => fault,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(more: &str) -> Recipe {
        Recipe::parse(&format!("name = \"vm\"\nsuite = \"trixie\"\n{more}\n")).unwrap()
    }

    #[test]
    fn the_root_is_last_and_has_what_is_left() {
        let sectors = (1 << 30) / SECTOR;
        let partitions = layout(&recipe(""), 7, sectors);
        let names: Vec<_> = partitions.iter().map(|partition| (partition.name, partition.first)).collect();
        assert_eq!(names, [("bios", 2048), ("esp", 4096), ("root", 4096 + ESP)]);
        let end = partitions[2].first + partitions[2].count;
        assert!(
            end <= gpt::last_usable(sectors) + 1
                && end.is_multiple_of(ALIGNMENT)
                && end > sectors - 2 * ALIGNMENT
        );
        let arm = layout(&recipe("architecture = \"arm64\""), 7, sectors);
        assert_eq!((arm.len(), arm[1].kind), (2, ROOT_ARM64));
        assert_eq!(EFI_SYSTEM.to_string(), "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
    }

    #[test]
    fn ids_are_the_same_golden_s_for_ever_and_no_other_s() {
        let one = root_id(&recipe(""), 7);
        assert_eq!(one, root_id(&recipe("packages = [\"vim\"]"), 7));
        assert_ne!(one, root_id(&recipe(""), 8));
        assert_ne!(id(&recipe(""), 7, "disk"), id(&recipe(""), 7, "root partition"));
        assert_eq!(&one[14..15], "8");
        assert_eq!(
            fstab(&recipe(""), 7),
            format!("PARTUUID={one} / ext4 errors=remount-ro,x-systemd.growfs 0 1\n")
        );
    }

    #[test]
    fn no_file_is_younger_than_the_golden_and_links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::NamedTempFile::new().unwrap();
        let file = folder.path().join("a/b");
        fs::create_dir(folder.path().join("a")).unwrap();
        fs::write(&file, "x").unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("link")).unwrap();
        settle(folder.path(), 1000).unwrap();
        let seconds = |path: &Path| std::os::unix::fs::MetadataExt::mtime(&fs::metadata(path).unwrap());
        assert_eq!((seconds(&file), seconds(folder.path())), (1000, 1000));
        assert!(seconds(outside.path()) > 1000);
    }
}
