//! The data types of SSH's wire format. Source: RFC 4251, section 5.

/// Reads from front to back; every length is checked against what is there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes are left.
    pub(crate) fn left(self) -> usize {
        self.0.len()
    }

    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    pub(crate) fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()?;
        self.take(usize::try_from(length).ok()?)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.string()?).ok()
    }

    /// A comma-separated list of names.
    pub(crate) fn names(&mut self) -> Option<Vec<&'a str>> {
        Some(self.text()?.split(',').filter(|name| !name.is_empty()).collect())
    }

    /// A number that is not negative, without leading zeros.
    pub(crate) fn unsigned(&mut self) -> Option<&'a [u8]> {
        let bytes = self.string()?;
        if bytes.first().is_some_and(|first| first & 0x80 != 0) {
            return None;
        }
        Some(without_zeros(bytes))
    }
}

fn without_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}

/// Appends a string; anything longer than 4 GiB cannot occur here and would be cut.
pub(crate) fn put_string(to: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    to.extend_from_slice(&length.to_be_bytes());
    to.extend_from_slice(bytes);
}

/// Appends an unsigned big-endian number as an mpint.
pub(crate) fn put_unsigned(to: &mut Vec<u8>, number: &[u8]) {
    let digits = without_zeros(number);
    if digits.first().is_some_and(|first| first & 0x80 != 0) {
        put_string(to, &[&[0], digits].concat());
    } else {
        put_string(to, digits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 4251, section 5.
    #[test]
    fn numbers_are_written_as_the_rfc_shows() {
        for (number, expected) in [
            (&[][..], &[0, 0, 0, 0][..]),
            (&[0, 0], &[0, 0, 0, 0]),
            (
                &[0x09, 0xa3, 0x78, 0xf9, 0xb2, 0xe3, 0x32, 0xa7],
                &[0, 0, 0, 8, 0x09, 0xa3, 0x78, 0xf9, 0xb2, 0xe3, 0x32, 0xa7],
            ),
            (&[0x80], &[0, 0, 0, 2, 0, 0x80]),
        ] {
            let mut written = Vec::new();
            put_unsigned(&mut written, number);
            assert_eq!(written, expected);
            assert_eq!(Reader::new(&written).unsigned(), Some(without_zeros(number)));
        }
        assert_eq!(Reader::new(&[0, 0, 0, 2, 0xed, 0xcc]).unsigned(), None, "a negative number");
    }

    #[test]
    fn lengths_beyond_the_end_are_refused() {
        for bytes in [&[][..], &[0, 0, 0], &[0, 0, 0, 1], &[0xff, 0xff, 0xff, 0xff, 1, 2]] {
            assert_eq!(Reader::new(bytes).string(), None);
        }
    }
}
