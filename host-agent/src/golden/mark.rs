//! The version that a built agent names in its own bytes, found without running it.

use memchr::memmem;

/// As `firstlight-guest --version` prints it, line end included.
const HEAD: &[u8] = b"firstlight-guest ";
/// The longest version.
const LONGEST: usize = 64;

/// Looks for it in pieces of a file, also across their borders.
#[derive(Debug, Default)]
pub(super) struct Mark {
    /// The end of the last piece.
    tail: Vec<u8>,
    found: Option<String>,
}

impl Mark {
    pub(super) fn feed(&mut self, piece: &[u8]) {
        if self.found.is_some() {
            return;
        }
        let mut bytes = std::mem::take(&mut self.tail);
        bytes.extend_from_slice(piece);
        self.found = find(&bytes);
        let keep = bytes.len().saturating_sub(HEAD.len() + LONGEST);
        self.tail = bytes.split_off(keep);
    }

    pub(super) fn version(&self) -> Option<String> {
        self.found.clone()
    }
}

fn find(bytes: &[u8]) -> Option<String> {
    memmem::find_iter(bytes, HEAD).find_map(|at| {
        let rest = bytes.get(at + HEAD.len()..)?;
        let end = rest.iter().take(LONGEST).position(|byte| *byte == b'\n')?;
        let text = std::str::from_utf8(&rest[..end]).ok()?;
        let is_version = text.split('.').count() >= 3
            && text.starts_with(|c: char| c.is_ascii_digit())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+'));
        is_version.then(|| text.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_wherever_a_piece_ends() {
        let bytes = b"\x7fELF...firstlight-guest cannot\nfirstlight-guest 1.2.3-rc.1\nmore".repeat(2);
        for size in [1, 7, 16, 30, 1000] {
            let mut mark = Mark::default();
            bytes.chunks(size).for_each(|piece| mark.feed(piece));
            assert_eq!(mark.version().as_deref(), Some("1.2.3-rc.1"), "{size}");
        }
        for none in [&b"firstlight-guest 1.2.3"[..], b"firstlight-guest x\n", b"", b"firstlight-guest \xff\n"]
        {
            assert_eq!(find(none), None);
        }
    }
}
