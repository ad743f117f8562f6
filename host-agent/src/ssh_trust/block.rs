//! A block of our lines in a file of somebody's: what stands around it is theirs.

const BEGIN: &str =
    "# firstlight known-hosts: begin. What stands here is written anew; other lines are left alone.";
const END: &str = "# firstlight known-hosts: end";
/// By which the first line is known, whatever it explains.
const BEGINS: &str = "# firstlight known-hosts: begin";

/// The file with `lines` in its block; the block comes last if there was none.
///
/// # Errors
/// The block of the file has no end, or there are several: whose lines those are, nobody can know.
pub(crate) fn with_block(file: &[u8], lines: &str) -> Result<Vec<u8>, &'static str> {
    let mut begin = None;
    let mut end = None;
    let mut at = 0;
    for line in file.split_inclusive(|byte| *byte == b'\n') {
        let next = at + line.len();
        if line.starts_with(BEGINS.as_bytes()) {
            if begin.replace(at).is_some() {
                return Err("it has two blocks of firstlight's");
            }
        } else if line.trim_ascii_end() == END.as_bytes() && end.replace(next).is_some() {
            return Err("it has two ends of firstlight's block");
        }
        at = next;
    }
    let block = format!("{BEGIN}\n{lines}{END}\n");
    let (before, after) = match (begin, end) {
        (None, None) => (file, &b""[..]),
        (Some(begin), Some(end)) if begin < end => (&file[..begin], &file[end..]),
        _ => return Err("the block of firstlight's lines has no beginning or no end"),
    };
    let mut out = before.to_vec();
    if out.last().is_some_and(|byte| *byte != b'\n') {
        out.push(b'\n');
    }
    out.extend_from_slice(block.as_bytes());
    out.extend_from_slice(after);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(file: &[u8], lines: &str) -> String {
        String::from_utf8_lossy(&with_block(file, lines).unwrap()).into_owned()
    }

    #[test]
    fn only_the_block_changes() {
        let own = format!("{BEGIN}\nold key\n{END}\n");
        let new = format!("{BEGIN}\nnew key\n{END}\n");
        for (file, wanted) in [
            (String::new(), new.clone()),
            ("mine".to_owned(), format!("mine\n{new}")),
            (own.clone(), new.clone()),
            (format!("mine\n{own}# later\nmine too"), format!("mine\n{new}# later\nmine too")),
            (own.trim_end().to_owned(), new.clone()),
        ] {
            let first = written(file.as_bytes(), "new key\n");
            assert_eq!(first, wanted);
            assert_eq!(written(first.as_bytes(), "new key\n"), first, "a second time changes nothing");
        }
        // Bytes of others that are no text stay bytes.
        let odd = with_block(b"\xff\xfe\n", "").unwrap();
        assert!(odd.starts_with(b"\xff\xfe\n"), "{odd:?}");
    }

    #[test]
    fn a_block_without_its_bounds_is_not_touched() {
        for file in [
            format!("{BEGIN}\nkey\nmine\n"),
            format!("mine\n{END}\n"),
            format!("{END}\n{BEGIN}\n"),
            format!("{BEGIN}\n{BEGIN}\n{END}\n"),
            format!("{BEGIN}\n{END}\n{END}\n"),
        ] {
            assert!(with_block(file.as_bytes(), "new\n").is_err(), "{file}");
        }
    }
}
