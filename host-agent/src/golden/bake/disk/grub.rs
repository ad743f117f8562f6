//! GRUB for a BIOS and for UEFI, of the root's own modules, and what it reads at boot.
//!
//! Its core is put in place as `grub-install` does it, only without asking a kernel about disks.
//! Source: GRUB 2.12, util/setup.c and include/grub/i386/pc/boot.h.

use std::fs;
use std::path::Path;

use super::super::recipe::{Architecture, Network, Recipe};
use super::super::tidy::inside;
use super::super::tools::{Tools, not_written};
use super::gpt::ALIGNMENT;
use crate::outcome::Fault;

/// All that is needed from the firmware to the kernel: nothing is loaded from the disk later.
const MODULES: [&str; 10] =
    ["part_gpt", "ext2", "normal", "configfile", "linux", "echo", "test", "minicmd", "search", "reboot"];

/// Where in boot.img the first sector of the core is named, and the drive is checked.
const KERNEL_SECTOR: usize = 0x5c;
const DRIVE_CHECK: usize = 0x66;
/// Where in the first sector of the core the first sector of the rest is named.
const BLOCK_LIST: usize = 0x1f4;
/// The partition for it.
const LARGEST: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Boot {
    /// The code in the first sector, and the core.
    pub(super) bios: Option<(Vec<u8>, Vec<u8>)>,
    pub(super) efi: Vec<u8>,
}

/// Makes both, and writes `/boot/grub/grub.cfg` into the root.
///
/// # Errors
/// The root has no kernel, or not GRUB's programs and modules.
pub(super) fn make(
    tools: Tools<'_>,
    recipe: &Recipe,
    root: &Path,
    partition: usize,
    root_id: &str,
) -> Result<Boot, Fault> {
    for name in ["vmlinuz", "initrd.img"] {
        // A link to the newest, which packages keep current.
        if root.join(name).symlink_metadata().is_err() {
            return Err(Fault::new("no-kernel", format!("the root has no /{name}"))
                .with_hint("machine.kernel names the package of one: linux-image-amd64"));
        }
    }
    let folder =
        inside(root, "boot").ok_or_else(|| Fault::new("no-kernel", "the root has no /boot"))?.join("grub");
    let written = fs::create_dir_all(&folder)
        .and_then(|()| fs::write(folder.join("grub.cfg"), configuration(recipe, root_id)));
    written.map_err(|error| not_written(&error))?;

    let prefix = format!("(,gpt{partition})/boot/grub");
    let mut images = Vec::new();
    let (bios, efi) = match recipe.architecture {
        Architecture::Amd64 => (Some("i386-pc"), "x86_64-efi"),
        Architecture::Arm64 => (None, "arm64-efi"),
    };
    for platform in bios.into_iter().chain([efi]) {
        let out = root.join("tmp").join(platform);
        let mut words = vec![root.display().to_string()];
        words.extend(["grub-mkimage", "-O", platform, "-p", &prefix, "-o"].map(str::to_owned));
        words.push(format!("/tmp/{platform}"));
        words.extend(MODULES.map(str::to_owned));
        words.extend((platform == "i386-pc").then(|| "biosdisk".to_owned()));
        tools.run("chroot", &words, |_| ())?;
        let image = fs::read(&out).and_then(|image| fs::remove_file(&out).map(|()| image));
        images.push(image.map_err(|error| not_written(&error))?);
    }
    let efi = images.pop().unwrap_or_default();
    let bios = match images.pop() {
        None => None,
        Some(core) => {
            let code = fs::read(root.join("usr/lib/grub/i386-pc/boot.img"));
            Some(embedded(code.map_err(|error| not_written(&error))?, core, ALIGNMENT)?)
        }
    };
    Ok(Boot { bios, efi })
}

/// Names the sectors where the core will be.
fn embedded(mut code: Vec<u8>, mut core: Vec<u8>, first: u64) -> Result<(Vec<u8>, Vec<u8>), Fault> {
    if code.len() < 512 || core.len() < 1024 || core.len() > LARGEST {
        return Err(Fault::new("disk-too-small", "GRUB's core is not as large as it should be")
            .with_hint("does the root have grub-pc-bin?"));
    }
    code[KERNEL_SECTOR..KERNEL_SECTOR + 8].copy_from_slice(&first.to_le_bytes());
    // Some BIOSes name the wrong drive: what booted is the first hard disk all the same.
    code[DRIVE_CHECK..DRIVE_CHECK + 2].copy_from_slice(&[0x90, 0x90]);
    core[BLOCK_LIST..BLOCK_LIST + 8].copy_from_slice(&(first + 1).to_le_bytes());
    Ok((code, core))
}

/// The newest kernel is what the links name: it stays true after an upgrade.
fn configuration(recipe: &Recipe, root_id: &str) -> String {
    // ifupdown is told of eth0 by name.
    let names = if recipe.network() == Network::Ifupdown { " net.ifnames=0" } else { "" };
    format!(
        "set timeout=1\nmenuentry \"{}\" {{\n  linux /vmlinuz root=PARTUUID={root_id} ro{names} {}\n  initrd /initrd.img\n}}\n",
        recipe.name, recipe.machine.command_line
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_is_named_where_it_will_be() {
        let (code, core) = embedded(vec![0xaa; 512], vec![0xbb; 2048], 2048).unwrap();
        assert_eq!(code[KERNEL_SECTOR..KERNEL_SECTOR + 8], 2048_u64.to_le_bytes());
        assert_eq!((code[0x64], &code[DRIVE_CHECK..0x69]), (0xaa, [0x90, 0x90, 0xaa].as_slice()));
        assert_eq!(core[BLOCK_LIST..BLOCK_LIST + 8], 2049_u64.to_le_bytes());
        assert!(embedded(vec![0; 512], vec![0; LARGEST + 1], 2048).is_err());
        assert!(embedded(vec![], vec![0; 2048], 2048).is_err());
    }

    #[test]
    fn the_kernel_is_told_its_root_and_the_names_of_cards() {
        let recipe =
            |more: &str| Recipe::parse(&format!("name = \"vm\"\nsuite = \"trixie\"\n{more}\n")).unwrap();
        let text = configuration(&recipe("[machine]\ncommand_line = \"quiet\""), "12-34");
        assert!(text.contains("linux /vmlinuz root=PARTUUID=12-34 ro net.ifnames=0 quiet\n"), "{text}");
        assert!(!configuration(&recipe("network = \"networkd\""), "12-34").contains("ifnames"));
    }
}
