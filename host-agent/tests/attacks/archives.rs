//! Archives that were made to take memory: `golden lint` as a process of its own refuses them, and stays small.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::site::peak;

/// In MiB: zstd may have 128 of them for its window, and a debug build has 60 of its own.
const MOST_MEMORY: u64 = 256;

struct Judged {
    code: i32,
    said: String,
    peak: u64,
}

fn lint(archive: &[u8]) -> Judged {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("golden");
    std::fs::write(&path, archive).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_firstlight"))
        .args(["golden", "lint", "--limit", "8G"])
        .arg(&path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (began, mut most) = (Instant::now(), 0);
    while child.try_wait().unwrap().is_none() {
        most = most.max(peak(child.id()));
        if most > MOST_MEMORY || began.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    Judged {
        code: output.status.code().unwrap_or(-1),
        said: String::from_utf8_lossy(&said).into_owned(),
        peak: most,
    }
}

/// Zeros, packed by `xz`, with a header that asks for a dictionary of so many bytes: 2 or 3, shifted.
fn xz_with_dictionary(bits: u8) -> Vec<u8> {
    let mut packer = liblzma::write::XzEncoder::new(Vec::new(), 0);
    packer.write_all(&vec![0; 1 << 20]).unwrap();
    let mut archive = packer.finish().unwrap();
    // The first block's header follows the stream's 12 bytes: size, flags, filter 0x21 with one byte of properties.
    let size = (usize::from(archive[12]) + 1) * 4;
    assert_eq!(archive[14..16], [0x21, 1]);
    archive[16] = bits;
    let mut sum = flate2::Crc::new();
    sum.update(&archive[12..12 + size - 4]);
    archive[12 + size - 4..12 + size].copy_from_slice(&sum.sum().to_le_bytes());
    archive
}

#[test]
fn an_archive_that_wants_gigabytes_of_memory_is_refused() {
    // 1 GiB, and 4 GiB less one.
    for bits in [36, 40] {
        let judged = lint(&xz_with_dictionary(bits));
        assert!(judged.peak <= MOST_MEMORY, "xz took {} MiB", judged.peak);
        assert_eq!(judged.code, 3, "{}", judged.said);
        assert!(judged.said.contains("memory") && judged.said.contains("hint: "), "{}", judged.said);
    }
    // A frame of zstd with a window of 2 GiB: magic, descriptor, window, then a block of one byte that is repeated.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3];
    frame.extend([0x03 | 0x02, 0xff, 0x0f, 0]);
    let judged = lint(&frame);
    assert!(judged.peak <= MOST_MEMORY && judged.code == 3, "{} MiB, {}", judged.peak, judged.said);
}

#[test]
fn headers_without_end_and_many_entries_take_little_memory() {
    // A name of 64 MiB, of which little is left when it is packed.
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_size(64 << 20);
    header.set_cksum();
    let mut long = zstd::Encoder::new(Vec::new(), 1).unwrap();
    long.write_all(header.as_bytes()).unwrap();
    for _ in 0..64 {
        long.write_all(&vec![b'a'; 1 << 20]).unwrap();
    }
    let judged = lint(&long.finish().unwrap());
    assert!(judged.peak <= MOST_MEMORY && judged.code == 3, "{} MiB, {}", judged.peak, judged.said);

    let mut many = tar::Builder::new(zstd::Encoder::new(Vec::new(), 1).unwrap());
    for number in 0..20_000 {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        header.set_mode(0o777);
        let name = format!("etc/ssl/private/{number:0>80}");
        many.append_link(&mut header, &name, "/proc/self/root/etc/shadow").unwrap();
    }
    let judged = lint(&many.into_inner().unwrap().finish().unwrap());
    assert!(
        judged.peak <= MOST_MEMORY && matches!(judged.code, 0 | 1 | 3),
        "{} MiB, {}",
        judged.peak,
        judged.said
    );
}
