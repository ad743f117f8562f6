//! The end of a log that a guest may have filled with anything.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// How much of the file's end is read, in bytes.
const WINDOW: u64 = 64 << 10;

/// The last lines, raw but for bytes that are no UTF-8. A log that cannot be read has none.
pub(super) fn tail(path: &Path, lines: usize) -> Vec<String> {
    let Ok(bytes) = read_end(path) else { return Vec::new() };
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> =
        text.lines().map(|line| line.trim_end_matches('\r')).filter(|line| !line.is_empty()).collect();
    all[all.len().saturating_sub(lines)..].iter().map(|line| (*line).to_owned()).collect()
}

fn read_end(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(WINDOW)))?;
    let mut bytes = Vec::new();
    file.take(WINDOW).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_last_lines_of_anything() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        assert!(tail(&log, 3).is_empty());
        std::fs::write(&log, b"one\r\n\n\xff two\nthree").unwrap();
        assert_eq!(tail(&log, 2), ["\u{fffd} two", "three"]);
        assert_eq!(tail(&log, 9).len(), 3);
        std::fs::write(&log, vec![b'x'; 200_000]).unwrap();
        assert_eq!(tail(&log, 1)[0].len(), 65536);
    }
}
