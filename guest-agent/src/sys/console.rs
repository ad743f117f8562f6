//! What must be seen although nothing else works: one line on the console, and the raw port of a virtual machine.

use std::fs::{DirEntry, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use firstlight_shared::text::escape;
use nix::fcntl::OFlag;

use super::Machine;
use crate::paths;

const CONSOLE: &str = "/dev/console";
/// Two lines of a console of 80 columns, and some more.
const LONGEST: usize = 240;

impl Machine {
    /// Says one line on the console of the running machine. A console that is not there, or that takes nothing, is no
    /// error: nobody is left to tell.
    pub(crate) fn tell_console(&self, text: &str) {
        #[cfg(test)]
        if self.made_up.is_some() {
            return;
        }
        if !self.live {
            return;
        }
        let line = console_line(text);
        // O_NONBLOCK: a console that is stopped (Ctrl-S) must not hold the boot.
        let flags = OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
        let opened = OpenOptions::new().write(true).custom_flags(flags.bits()).open(CONSOLE);
        let _ = opened.and_then(|mut console| console.write_all(line.as_bytes()));
    }
}

/// Escaped and cut; in one write, with an end for the line that may stand there half written.
fn console_line(text: &str) -> String {
    format!("\r\nfirstlight: {}\r\n", escape(text, LONGEST))
}

/// The device of the virtio port of that name; none if there is none (yet).
///
/// By udev's link, else as the kernel names its ports: a report that is made early comes before udev's links.
pub(crate) fn port_device(name: &str) -> Option<String> {
    let link = format!("/{}/{name}", paths::VIRTIO_PORTS);
    if std::fs::exists(&link).unwrap_or(false) {
        return Some(link);
    }
    let class = Path::new("/").join(paths::VIRTIO_CLASS);
    let mut ports = std::fs::read_dir(&class).ok()?.flatten();
    let named = |port: &DirEntry| {
        std::fs::read_to_string(port.path().join("name")).is_ok_and(|found| found.trim_end() == name)
    };
    ports.find(named).map(|port| format!("/dev/{}", port.file_name().to_string_lossy()))
}

/// Opens a virtio port for reading and writing without ever waiting.
///
/// # Errors
/// Not there, no device, or in the hands of another program (EBUSY).
pub(crate) fn open_port(path: &str) -> io::Result<File> {
    let flags = OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
    let port = OpenOptions::new().read(true).write(true).custom_flags(flags.bits()).open(path)?;
    if port.metadata()?.file_type().is_char_device() {
        Ok(port)
    } else {
        Err(io::Error::other("it is no character device"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_line_steers_no_terminal_and_stays_short() {
        assert_eq!(console_line("no key\n\x1b[2J"), "\r\nfirstlight: no key\\u{a}\\u{1b}[2J\r\n");
        assert!(console_line(&"x".repeat(10_000)).chars().count() < LONGEST + 20);
    }

    #[test]
    fn only_a_device_is_a_port() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(open_port(file.path().to_str().unwrap()).is_err());
        assert!(open_port("/dev/null").is_ok());
    }
}
