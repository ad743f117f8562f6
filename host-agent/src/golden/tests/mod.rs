//! Whole goldens, in every form: what is sealed is clean, what is hostile is refused.

mod mutations;
mod planted;

use std::io::Write;

use firstlight_shared::items;

use super::collect::Limits;
use super::testing::{Image, LIMITS, What, names};
use super::*;

pub(super) fn lint_bytes(bytes: &[u8], limits: Limits) -> Result<Report, Fault> {
    let folder = tempfile::tempdir().unwrap();
    let golden = folder.path().join("golden");
    std::fs::write(&golden, bytes).unwrap();
    let report = lint(&golden, None, limits);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is written");
    report
}

fn code(bytes: &[u8]) -> String {
    lint_bytes(bytes, LIMITS).unwrap_err().code
}

#[test]
fn a_sealed_root_is_clean_however_it_is_packed() {
    let image = Image::sealed();
    let plain = image.tar("./");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(&plain).unwrap();
    let zstandard = zstd::encode_all(plain.as_slice(), 1).unwrap();
    for bytes in [plain, gzip.finish().unwrap(), xz.finish().unwrap(), zstandard] {
        let report = lint_bytes(&bytes, LIMITS).unwrap();
        assert_eq!((report.shape, report.target), ("tar", Target::Any));
        assert!(report.findings.is_empty() && !report.incomplete, "{:#?}", report.findings);
        assert_eq!(report.entries, image.0.len() as u64);
        // The same, cut short.
        let code = code(&bytes[..bytes.len() / 2]);
        assert_eq!(code, "golden-truncated");
    }
    let folder = tempfile::tempdir().unwrap();
    image.put(folder.path());
    let report = lint(folder.path(), Some(Target::ProxmoxLxc), LIMITS).unwrap();
    assert!(report.shape == "folder" && report.findings.is_empty(), "{:#?}", report.findings);
}

/// Facts from a real archive of PVE 9.2: order, names and owners of its entries, and this configuration.
#[test]
fn a_backup_of_proxmox_is_known_by_its_configuration() {
    const REAL: &str = "arch: amd64\ncores: 1\nfeatures: nesting=1,keyctl=1\nhostname: felhom-golden\nmemory: 512\n\
        net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:AA:BB:CC,ip=dhcp,type=veth\nostype: debian\n\
        rootfs: local:9100/vm-9100-disk-0.raw,size=4G\nswap: 0\nunprivileged: 1\n";
    let mut builder = tar::Builder::new(Vec::new());
    Image::default()
        .file("etc/vzdump/pct.conf", REAL)
        .file("etc/vzdump/pct.fw", "")
        .append(&mut builder, "./");
    Image::default().with("", What::Folder).append(&mut builder, "./");
    Image::sealed().append(&mut builder, "./");
    let bytes = zstd::encode_all(builder.into_inner().unwrap().as_slice(), 1).unwrap();
    let report = lint_bytes(&bytes, LIMITS).unwrap();
    assert_eq!((report.shape, report.target), ("vzdump-lxc", Target::ProxmoxLxc));
    assert_eq!(names(&report.findings), ["pct-mac", "pct-hostname"]);
    assert_eq!(report.findings[0].path, "/etc/vzdump/pct.conf: net0");
}

#[test]
fn incus_keeps_its_root_in_a_folder() {
    let image = Image::sealed().file("etc/ssh/ssh_host_rsa_key", "x");
    let mut builder = tar::Builder::new(Vec::new());
    Image::default().file("metadata.yaml", "architecture: x86_64\n").append(&mut builder, "");
    image.append(&mut builder, "rootfs/");
    let report = lint_bytes(&builder.into_inner().unwrap(), LIMITS).unwrap();
    assert_eq!((report.shape, names(&report.findings)), ("incus-image", vec!["ssh-host-keys"]));
    assert_eq!(report.findings[0].path, "/etc/ssh/ssh_host_rsa_key");

    let index = "name: t1\ntype: container\nconfig:\n  container:\n    config:\n      volatile.eth0.hwaddr: 10:66:6a:00:00:01\n";
    let mut builder = tar::Builder::new(Vec::new());
    Image::default().file("backup/index.yaml", index).append(&mut builder, "");
    image.append(&mut builder, "backup/container/rootfs/");
    let report = lint_bytes(&builder.into_inner().unwrap(), LIMITS).unwrap();
    assert_eq!((report.shape, names(&report.findings)), ("incus-export", vec!["ssh-host-keys", "incus-mac"]));

    let sealed = Image::default().file("backup/index.yaml", index).file("backup/virtual-machine.img", "x");
    let report = lint_bytes(&sealed.tar(""), LIMITS).unwrap();
    assert!(report.incomplete && names(&report.findings).contains(&"format-not-read"), "{report:?}");

    let folder = tempfile::tempdir().unwrap();
    image.put(&folder.path().join("rootfs"));
    std::fs::write(folder.path().join("metadata.yaml"), "x").unwrap();
    assert_eq!(lint(folder.path(), None, LIMITS).unwrap().shape, "incus-image");
}

#[test]
fn a_machines_archive_is_read_as_far_as_its_configuration_goes() {
    let bytes = read::vma_of("agent: 1\nargs: -x\n");
    for bytes in [zstd::encode_all(bytes.as_slice(), 1).unwrap(), bytes] {
        let report = lint_bytes(&bytes, LIMITS).unwrap();
        assert_eq!((report.shape, names(&report.findings)), ("vma", vec!["vm-args", "disks-not-looked-at"]));
    }
}

#[test]
fn formats_that_are_not_read_never_pass() {
    let mut disk = vec![0; 4096];
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    let disk = zstd::encode_all(disk.as_slice(), 1).unwrap();
    let mut xfs = b"XFSB".to_vec();
    xfs.resize(4096, 0);
    let packed = zstd::encode_all(xfs.as_slice(), 1).unwrap();
    for (bytes, what, next) in [
        (&b"hsqs0000"[..], "a squashfs", "unsquashfs it, and lint the folder"),
        (b"KDMV", "a VMDK disk image", "`qemu-img convert -O qcow2 IMAGE golden.qcow2`, and lint that"),
        (b"QFI\xfb\0\0\0\x01", "a qcow disk image of version 1", "`qemu-img convert"),
        (&xfs, "an XFS file system", "lint the root that it was made of; or mount it"),
        (&packed, "an XFS file system", "decompress it, and lint that"),
        (&disk, "a compressed disk image", "decompress it, and lint that"),
    ] {
        let report = lint_bytes(bytes, LIMITS).unwrap();
        assert!(report.incomplete && report.shape == "not-read", "{report:?}");
        assert_eq!(names(&report.findings), ["format-not-read"]);
        let told = &report.findings[0];
        assert!(told.danger.starts_with(what) && told.fix.starts_with(next), "{told:?}");
    }
}

#[test]
fn a_name_that_is_no_text_hides_nothing() {
    use std::os::unix::ffi::OsStrExt as _;
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\n";
    let folder = tempfile::tempdir().unwrap();
    Image::sealed().put(folder.path());
    let odd = folder.path().join("srv").join(std::ffi::OsStr::from_bytes(b"\xff\xfebad"));
    std::fs::create_dir_all(&odd).unwrap();
    std::fs::write(odd.join(std::ffi::OsStr::from_bytes(b"\xffkey")), KEY).unwrap();
    let of_folder = lint(folder.path(), None, LIMITS).unwrap().findings;
    assert_eq!(names(&of_folder), ["private-key"], "{of_folder:#?}");
    let mut builder = tar::Builder::new(Vec::new());
    builder.follow_symlinks(false);
    builder.append_dir_all(".", folder.path()).unwrap();
    assert_eq!(lint_bytes(&builder.into_inner().unwrap(), LIMITS).unwrap().findings, of_folder);
}

#[test]
fn links_are_followed_as_a_system_would() {
    let key = "etc/ssh/ssh_host_ed25519_key";
    for image in [
        // A folder that is elsewhere, as on systems of images.
        Image::sealed().link("root", "var/roothome").file("var/roothome/.bash_history", "x"),
        // Through two links, one of them in the way.
        Image::sealed().link("root", "/a").link("a", "b/c").file("b/c/.bash_history", "x"),
        Image::sealed().link("root/.bash_history", "../opt/history").file("opt/history", "x"),
    ] {
        let found = lint_bytes(&image.tar("./"), LIMITS).unwrap().findings;
        assert_eq!(names(&found), ["histories"], "{found:#?}");
    }
    // Hard links, to what comes before and after.
    let image = Image::sealed().file("a/key", "secret").with(key, What::HardLink("a/key".to_owned()));
    assert_eq!(names(&lint_bytes(&image.tar("./"), LIMITS).unwrap().findings), ["ssh-host-keys"]);
    let image = Image::sealed().file("z/key", "secret").with(key, What::HardLink("z/key".to_owned()));
    assert_eq!(names(&lint_bytes(&image.tar("./"), LIMITS).unwrap().findings), ["ssh-host-keys"]);
    // Leading nowhere, or around.
    let image = Image::sealed().link("etc/hostname", "/run/x").link("root", "home").link("home", "root");
    assert_eq!(names(&lint_bytes(&image.tar("./"), LIMITS).unwrap().findings), Vec::<&str>::new());
}

#[test]
fn the_last_one_of_a_path_counts() {
    let id = Image::default().file("etc/machine-id", "7be07251d7584360bfa20bcb52311efb\n");
    let both = |first: &Image, then: &Image| {
        let mut builder = tar::Builder::new(Vec::new());
        first.append(&mut builder, "./");
        then.append(&mut builder, "");
        names(&lint_bytes(&builder.into_inner().unwrap(), LIMITS).unwrap().findings)
    };
    assert_eq!(both(&id, &Image::sealed()), Vec::<&str>::new());
    assert_eq!(both(&Image::sealed(), &id), ["machine-id"]);
}

/// Writes the header's bytes by hand: the crate refuses the names that are wanted here.
fn raw(builder: &mut tar::Builder<Vec<u8>>, name: &[u8], kind: tar::EntryType, link: &str, content: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_size(content.len() as u64);
    header.set_cksum();
    builder.append(&header, content).unwrap();
}

#[test]
fn hostile_archives_are_refused_with_the_reason() {
    use tar::EntryType::{Directory, GNULongName, Link, Regular, Symlink, XHeader};
    let made = |entries: &[(&[u8], tar::EntryType, &str)]| {
        let mut builder = tar::Builder::new(Vec::new());
        Image::sealed().append(&mut builder, "./");
        for (name, kind, link) in entries {
            raw(&mut builder, name, *kind, link, b"");
        }
        code(&builder.into_inner().unwrap())
    };
    for name in [&b"/etc/passwd"[..], b"../x", b"a/../../x", b".."] {
        assert_eq!(made(&[(name, Regular, "")]), "golden-unsafe-path", "{name:?}");
    }
    assert_eq!(made(&[(b"x", Link, "/etc/passwd")]), "golden-unsafe-path");
    assert_eq!(made(&[(b"x", Link, "../x")]), "golden-unsafe-path");
    // A file through a symlink of the archive, whether it leads out or not, and however deep.
    assert_eq!(made(&[(b"t", Symlink, "/etc"), (b"t/passwd", Regular, "")]), "golden-unsafe-path");
    assert_eq!(
        made(&[(b"t", Symlink, "usr"), (b"t/a/b/", Directory, ""), (b"t/a/b/c", Regular, "")]),
        "golden-unsafe-path"
    );
    assert_eq!(code(b"hello"), "golden-not-archive");
    assert_eq!(code(&[b'x'; 10240]), "golden-not-archive");
    assert_eq!(code(b""), "golden-not-archive");
    assert_eq!(code(&Image::default().file("home/x", "").tar("./")), "golden-no-root");
    let mut two = Image::sealed().tar("./");
    two.extend(Image::sealed().tar("./"));
    assert_eq!(code(&two), "golden-trailing-data");
    // Names of megabytes, of both kinds.
    for kind in [GNULongName, XHeader] {
        let mut builder = tar::Builder::new(Vec::new());
        raw(&mut builder, b"././@LongLink", kind, "", &vec![b'a'; 3 << 20]);
        raw(&mut builder, b"x", Regular, "", b"");
        assert_eq!(code(&builder.into_inner().unwrap()), "golden-corrupt");
    }
    let mut builder = tar::Builder::new(Vec::new());
    raw(&mut builder, b"././@LongLink", GNULongName, "", &[b'a'; 5000]);
    raw(&mut builder, b"x", Regular, "", b"");
    assert_eq!(code(&builder.into_inner().unwrap()), "golden-corrupt");
}

#[test]
fn odd_names_are_taken_as_they_are() {
    let mut builder = tar::Builder::new(Vec::new());
    Image::sealed().append(&mut builder, "./");
    raw(&mut builder, b"./etc/ssh/ssh_host_\xff\x1b_key", tar::EntryType::Regular, "", b"x");
    let report = lint_bytes(&builder.into_inner().unwrap(), LIMITS).unwrap();
    assert_eq!(names(&report.findings), ["ssh-host-keys"]);
    let folder = tempfile::tempdir().unwrap();
    Image::sealed().put(folder.path());
    use std::os::unix::ffi::OsStrExt as _;
    std::fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"a\xff")), "x").unwrap();
    assert_eq!(names(&lint(folder.path(), None, LIMITS).unwrap().findings), Vec::<&str>::new());
}

#[test]
fn bombs_end_at_the_limits() {
    let image = Image::sealed().with("var/zeros", What::File(vec![0; 8 << 20]));
    let bomb = zstd::encode_all(image.tar("./").as_slice(), 19).unwrap();
    assert!(bomb.len() < 8 << 10 || bomb.len() < 300_000);
    assert!(lint_bytes(&bomb, LIMITS).is_ok());
    let small = Limits { bytes: 4 << 20, ..LIMITS };
    assert_eq!(lint_bytes(&bomb, small).unwrap_err().code, "golden-too-large");
    let few = Limits { entries: 5, ..LIMITS };
    assert_eq!(lint_bytes(&bomb, few).unwrap_err().code, "golden-too-large");
}

#[test]
fn little_is_kept_of_much() {
    let mut collector = collect::Collector::new(LIMITS, collect::Leads::default());
    let text = vec![b'x'; 60 << 10];
    let mut refused = None;
    for number in 0..20_000 {
        let path = format!("etc/ssl/private/{number}");
        let size = text.len() as u64;
        let kind = items::EntryKind::File;
        let entry = collect::Raw { path: &path, kind, mode: 0o644, size, link: None };
        if let Err(error) = collector.take(&entry, &mut text.as_slice()) {
            refused = Some((number, error.code()));
            break;
        }
    }
    let (number, code) = refused.unwrap();
    let kept: usize =
        collector.facts.entries.values().filter_map(|entry| entry.bytes.as_ref()).map(Vec::len).sum();
    assert_eq!(code, "golden-too-large");
    assert!(number > 100 && kept < 32 << 20, "{number} {kept}");
    // What no rule wants costs nothing.
    let mut collector = collect::Collector::new(LIMITS, collect::Leads::default());
    for number in 0..50_000 {
        let path = format!("srv/{number}");
        let entry = collect::Raw { path: &path, kind: items::EntryKind::File, mode: 0, size: 1, link: None };
        collector.take(&entry, &mut &b"x"[..]).unwrap();
    }
    assert!(collector.facts.entries.is_empty());
}
