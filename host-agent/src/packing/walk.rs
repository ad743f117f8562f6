//! Reads a tar archive's structure to its last byte, while its bytes may pass on to a program that unpacks it.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::rc::Rc;

use firstlight_shared::text::escape;

use super::Broken;

const BLOCK: usize = 512;
/// The longest entry name that a message shows.
const SHOWN: usize = 200;
/// Between two entries' contents: headers, long names, extended attributes. Readers keep all of it in memory, so it is
/// bounded here, before GNU tar gets it.
const HEADERS: u64 = 1 << 20;

/// One entry of an archive that is walked.
pub(crate) type Entry<'a, R, W> = tar::Entry<'a, Tee<R, W>>;

/// Hands on what is read, and remembers whether the source ended or failed, and whether the sink did.
#[derive(Debug)]
pub(crate) struct Tee<R, W> {
    source: R,
    sink: W,
    ended: bool,
    source_failure: Option<io::Error>,
    sink_failed: bool,
    /// How much may be read before it is set anew.
    allowance: Rc<Cell<u64>>,
}

impl<R: Read, W: Write> Tee<R, W> {
    pub(crate) fn new(source: R, sink: W) -> Self {
        let allowance = Rc::new(Cell::new(HEADERS));
        Self { source, sink, ended: false, source_failure: None, sink_failed: false, allowance }
    }

    /// Writes out what is buffered and closes the sink.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

impl<R: Read, W: Write> Read for Tee<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match self.source.read(buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => {
                let kind = error.kind();
                self.source_failure = Some(error);
                return Err(kind.into());
            }
        };
        self.ended |= count == 0 && !buffer.is_empty();
        match self.allowance.get().checked_sub(count as u64) {
            Some(left) => self.allowance.set(left),
            None => {
                let failure = io::Error::other("an entry has more than 1 MiB of headers");
                self.source_failure = Some(failure);
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        if let Err(error) = self.sink.write_all(&buffer[..count]) {
            self.sink_failed = true;
            return Err(error);
        }
        Ok(count)
    }
}

/// Reads the archive to its last byte.
///
/// # Errors
/// Whatever is wrong with it. `SinkClosed` means that the unpacking program gave up: ask that one why.
pub(crate) fn check<R: Read, W: Write>(tee: Tee<R, W>) -> Result<Tee<R, W>, Broken> {
    walk(tee, |_, _| Ok(()))
}

/// The same, and hands each entry to `each`, with its name made safe to show.
///
/// # Errors
/// Whatever is wrong with the archive, or what `each` says.
pub(crate) fn walk<R: Read, W: Write>(
    tee: Tee<R, W>,
    mut each: impl FnMut(&mut Entry<'_, R, W>, &str) -> Result<(), Broken>,
) -> Result<Tee<R, W>, Broken> {
    let allowance = Rc::clone(&tee.allowance);
    let mut archive = tar::Archive::new(tee);
    let mut last = None;
    let mut failure = None;
    match archive.entries() {
        Err(error) => failure = Some(error),
        Ok(entries) => {
            for entry in entries {
                match entry {
                    Ok(mut entry) => {
                        let shown = check_entry(&mut entry)?;
                        allowance.set(contents(&entry).saturating_add(HEADERS));
                        let taken = each(&mut entry, &shown);
                        last = Some(shown);
                        match taken {
                            Ok(()) => {}
                            // The source tells below what was wrong with it.
                            Err(Broken::Unreadable { source }) => {
                                failure = Some(source);
                                break;
                            }
                            Err(error) => return Err(error),
                        }
                    }
                    Err(error) => {
                        failure = Some(error);
                        break;
                    }
                }
            }
        }
    }
    let mut tee = archive.into_inner();
    allowance.set(u64::MAX);
    match failure {
        Some(error) => Err(explain(tee, &error, last)),
        None if tee.ended => Err(match last {
            // Not even the two blocks of zeros that end every archive.
            Some(_) => Broken::Truncated { last },
            None => Broken::NotArchive,
        }),
        None if last.is_none() => Err(Broken::NotArchive),
        None => {
            check_rest(&mut tee)?;
            Ok(tee)
        }
    }
}

/// Reads the archive's first entry only: enough to tell an archive from another file.
pub(crate) fn check_first<R: Read>(source: R) -> Result<(), Broken> {
    let mut archive = tar::Archive::new(Tee::new(source, io::sink()));
    let failure = match archive.entries() {
        Err(error) => Some(error),
        Ok(mut entries) => match entries.next() {
            Some(Ok(mut entry)) => return check_entry(&mut entry).map(drop),
            Some(Err(error)) => Some(error),
            None => None,
        },
    };
    match failure {
        Some(error) => Err(explain(archive.into_inner(), &error, None)),
        None => Err(Broken::NotArchive),
    }
}

fn explain<R, W>(tee: Tee<R, W>, error: &io::Error, last: Option<String>) -> Broken {
    if tee.sink_failed {
        return Broken::SinkClosed;
    }
    match tee.source_failure {
        Some(failure) if failure.kind() == io::ErrorKind::UnexpectedEof => Broken::Truncated { last },
        Some(failure) if failure.raw_os_error().is_some() => Broken::Unreadable { source: failure },
        Some(failure) => Broken::Corrupt { last, reason: escape(&failure.to_string(), SHOWN) },
        None if last.is_none() => Broken::NotArchive,
        None if tee.ended => Broken::Truncated { last },
        None => Broken::Corrupt { last, reason: escape(&error.to_string(), SHOWN) },
    }
}

/// Bytes of the entry's contents in the archive. A sparse file's size says nothing of that.
fn contents<R: Read>(entry: &tar::Entry<'_, R>) -> u64 {
    let header = entry.header();
    if header.entry_type().is_gnu_sparse() { header.entry_size().unwrap_or(0) } else { entry.size() }
}

/// Gives the entry's name, made safe to show.
fn check_entry<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<String, Broken> {
    let path = entry.path_bytes().into_owned();
    let shown = show(&path);
    refuse_escape(&path, &shown, "its path")?;
    if entry.header().entry_type().is_hard_link() {
        let target = entry.link_name_bytes().unwrap_or_default().into_owned();
        refuse_escape(&target, &shown, "the target of its hard link")?;
    }
    // GNU tar takes the name of a sparse file from here.
    if let Ok(Some(extensions)) = entry.pax_extensions() {
        for extension in extensions.flatten().filter(|extension| extension.key_bytes() == b"GNU.sparse.name")
        {
            refuse_escape(extension.value_bytes(), &shown, "its path")?;
        }
    }
    Ok(shown)
}

fn refuse_escape(path: &[u8], shown: &str, what: &'static str) -> Result<(), Broken> {
    let why = if path.starts_with(b"/") {
        "is absolute"
    } else if path.split(|byte| *byte == b'/').any(|part| part == b"..") {
        "holds `..`"
    } else {
        return Ok(());
    };
    Err(Broken::UnsafePath { entry: shown.to_owned(), what, why, path: show(path) })
}

fn show(path: &[u8]) -> String {
    escape(&String::from_utf8_lossy(path), SHOWN)
}

/// After the first block of zeros: at least one more, and nothing but zeros.
fn check_rest<R: Read, W: Write>(tee: &mut Tee<R, W>) -> Result<(), Broken> {
    let mut buffer = vec![0; 64 << 10];
    let mut total = 0;
    loop {
        match tee.read(&mut buffer) {
            Ok(0) if total < BLOCK => return Err(Broken::Truncated { last: None }),
            Ok(0) => return Ok(()),
            Ok(count) if buffer[..count].iter().any(|byte| *byte != 0) => {
                return Err(Broken::TrailingData);
            }
            Ok(count) => total += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // The other side may stop reading at the end mark.
            Err(_) if tee.sink_failed => return Ok(()),
            Err(error) => {
                return Err(match tee.source_failure.take() {
                    Some(failure) if failure.kind() == io::ErrorKind::UnexpectedEof => {
                        Broken::Truncated { last: None }
                    }
                    Some(failure) => {
                        Broken::Corrupt { last: None, reason: escape(&failure.to_string(), SHOWN) }
                    }
                    None => Broken::Unreadable { source: error },
                });
            }
        }
    }
}
