use std::io::Write;
use std::path::PathBuf;

use super::*;

/// A tar of files with these raw names; a name that ends in `/` is a folder.
fn tar_of(names: &[&str]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for name in names {
        append(&mut builder, name, tar::EntryType::Regular, "");
    }
    builder.into_inner().unwrap()
}

/// Writes the header's bytes by hand: the crate refuses the names that are wanted here.
fn append(builder: &mut tar::Builder<Vec<u8>>, name: &str, kind: tar::EntryType, link: &str) {
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
    let kind = if name.ends_with('/') { tar::EntryType::Directory } else { kind };
    header.set_entry_type(kind);
    header.set_mode(0o755);
    let content: &[u8] = if kind.is_file() { b"hello" } else { b"" };
    header.set_size(content.len() as u64);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    builder.append(&header, content).unwrap();
}

const ROOT: [&str; 7] = [
    "./",
    "./etc/",
    "./usr/",
    "./usr/lib/",
    "./usr/lib/os-release",
    "./usr/lib/systemd/",
    "./usr/lib/systemd/systemd",
];

/// Unpacks in a folder of its own; gives the outcome and what is left of the root.
fn try_unpack(bytes: &[u8]) -> (Result<(), ArchiveError>, tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let golden = folder.path().join("golden.tar");
    std::fs::write(&golden, bytes).unwrap();
    let root = folder.path().join("root");
    let outcome = unpack(&golden, &root);
    assert_eq!(outcome.is_ok(), root.exists(), "{outcome:?}");
    (outcome, folder, root)
}

fn refusal(bytes: &[u8]) -> String {
    let (outcome, folder, _) = try_unpack(bytes);
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "only the golden stays");
    let fault = outcome.unwrap_err().into_fault(Path::new("golden.tar"));
    assert!(fault.hint.is_some() && fault.message.starts_with("golden golden.tar"), "{fault:?}");
    fault.code
}

#[test]
fn a_root_is_unpacked_however_it_is_packed() {
    let plain = tar_of(&ROOT);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(&plain).unwrap();
    let packed = [
        plain.clone(),
        gzip.finish().unwrap(),
        xz.finish().unwrap(),
        zstd::encode_all(plain.as_slice(), 1).unwrap(),
    ];
    for bytes in packed {
        let (outcome, _folder, root) = try_unpack(&bytes);
        outcome.unwrap();
        assert_eq!(std::fs::read(root.join("usr/lib/systemd/systemd")).unwrap(), b"hello");
        // The same, cut short: inside the data, and just before the end mark.
        for length in [bytes.len() / 2, bytes.len() * 9 / 10] {
            let code = refusal(&bytes[..length]);
            assert_eq!(code, "golden-truncated", "{:?} cut to {length}", packing::detect(&bytes));
        }
    }
}

#[test]
fn a_look_tells_an_archive_by_its_first_entry() {
    let folder = tempfile::tempdir().unwrap();
    let golden = folder.path().join("golden");
    let looked = |bytes: &[u8]| {
        std::fs::write(&golden, bytes).unwrap();
        look(&golden).map_err(|error| error.code())
    };
    let gzip = |bytes: &[u8]| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    };
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(&tar_of(&ROOT)).unwrap();
    let zstandard = zstd::encode_all(tar_of(&ROOT).as_slice(), 1).unwrap();
    for right in [tar_of(&ROOT), gzip(&tar_of(&ROOT)), xz.finish().unwrap(), zstandard] {
        assert_eq!(looked(&right), Ok(()), "{:?}", packing::detect(&right));
    }
    let passwd = b"root:x:0:0:root:/root:/bin/bash\n".repeat(40);
    for wrong in [&b"x"[..], &passwd, &[0; 10240], &gzip(&passwd)] {
        assert_eq!(looked(wrong), Err("golden-not-archive"));
    }
    assert_eq!(looked(&[0x1f, 0x8b, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), Err("golden-corrupt"));
    assert_eq!(looked(&tar_of(&["../x"])), Err("golden-unsafe-path"));
}

#[test]
fn every_cut_of_a_plain_archive_is_noticed() {
    let plain = tar_of(&ROOT);
    let end = plain.len() - 1024;
    for length in [511, 512, 1024, 3000, end - 512, end - 511, end, end + 1, end + 512] {
        let code = refusal(&plain[..length]);
        assert!(matches!(code.as_str(), "golden-truncated" | "golden-not-archive"), "{length}: {code}");
    }
}

#[test]
fn what_leads_out_is_refused() {
    for name in ["/etc/passwd", "../x", "./a/../../x", "a/..", ".."] {
        let mut names = ROOT.to_vec();
        names.push(name);
        assert_eq!(refusal(&tar_of(&names)), "golden-unsafe-path", "{name}");
    }
    for target in ["/etc/passwd", "../../etc/passwd"] {
        let mut builder = tar::Builder::new(Vec::new());
        append(&mut builder, "x", tar::EntryType::Link, target);
        assert_eq!(refusal(&builder.into_inner().unwrap()), "golden-unsafe-path", "{target}");
    }
}

#[test]
fn links_that_point_out_are_kept_but_nothing_is_written_through_them() {
    let outside = tempfile::tempdir().unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    for name in ROOT {
        append(&mut builder, name, tar::EntryType::Regular, "");
    }
    append(&mut builder, "trap", tar::EntryType::Symlink, outside.path().to_str().unwrap());
    append(&mut builder, "trap/file", tar::EntryType::Regular, "");
    let (outcome, _folder, _) = try_unpack(&builder.into_inner().unwrap());
    assert_eq!(outcome.unwrap_err().code(), "golden-not-unpackable");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn other_files_are_not_taken() {
    assert_eq!(refusal(b"hello"), "golden-not-archive");
    assert_eq!(refusal(&[0; 10240]), "golden-not-archive");
    assert_eq!(refusal(&[b'x'; 10240]), "golden-not-archive");
    assert_eq!(refusal(&tar_of(&["./", "./home/"])), "golden-no-root");
    assert_eq!(refusal(&tar_of(&["./", "./etc/", "./usr/"])), "golden-no-root");
    assert_eq!(refusal(&tar_of(&["./", "./etc/", "./etc/os-release"])), "golden-no-root");
    let mut two = tar_of(&ROOT);
    two.extend(tar_of(&ROOT));
    assert_eq!(refusal(&two), "golden-trailing-data");
    let mut damaged = tar_of(&ROOT);
    damaged[512 + 3] ^= 0x55;
    assert_eq!(refusal(&damaged), "golden-corrupt");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar_of(&ROOT)).unwrap();
    let mut gzip = gzip.finish().unwrap();
    let middle = gzip.len() / 2;
    gzip[middle] ^= 0x55;
    let code = refusal(&gzip);
    assert!(code.starts_with("golden-"), "{code}");
}

#[test]
fn names_in_messages_cannot_steer_a_terminal() {
    let (outcome, _folder, _) = try_unpack(&tar_of(&["./", "/\x1b[31mred"]));
    let message = outcome.unwrap_err().into_fault(Path::new("g")).message;
    assert!(message.contains("\\u{1b}[31mred") && !message.contains('\x1b'), "{message}");
}

#[test]
fn a_bomb_of_headers_is_refused_and_large_files_are_not() {
    let mut builder = tar::Builder::new(Vec::new());
    append(&mut builder, "./", tar::EntryType::Directory, "");
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongName);
    let name = vec![b'a'; 3 << 20];
    header.set_size(name.len() as u64);
    header.set_cksum();
    builder.append(&header, name.as_slice()).unwrap();
    append(&mut builder, "./file", tar::EntryType::Regular, "");
    assert_eq!(refusal(&builder.into_inner().unwrap()), "golden-corrupt");

    let mut builder = tar::Builder::new(Vec::new());
    for name in ROOT {
        append(&mut builder, name, tar::EntryType::Regular, "");
    }
    let mut header = tar::Header::new_gnu();
    header.set_size(5 << 20);
    header.set_mode(0o644);
    builder.append_data(&mut header, "./large", vec![7u8; 5 << 20].as_slice()).unwrap();
    append(&mut builder, "./after", tar::EntryType::Regular, "");
    let (outcome, _folder, root) = try_unpack(&builder.into_inner().unwrap());
    outcome.unwrap();
    assert_eq!(std::fs::metadata(root.join("large")).unwrap().len(), 5 << 20);
}
