//! Whether a system is running from a root, however the root is named.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::Root;

/// Names of programs that are PID 1 of a system, not of a container that only builds something.
const INITS: [&str; 4] = ["systemd", "init", "runit", "s6-svscan"];

/// The number of the process that is PID 1 of a system with this root: the system of this machine, or of a container on
/// it. None where /proc is not there, or shows no such process to whoever asks.
pub(crate) fn init_of(root: &Root) -> Option<u32> {
    let number = root.number()?;
    let entries = fs::read_dir("/proc").ok()?;
    let processes = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    processes.into_iter().find(|process| is_init(*process) && root_of(*process) == Some(number))
}

fn root_of(process: u32) -> Option<(u64, u64)> {
    let found = fs::metadata(format!("/proc/{process}/root/.")).ok()?;
    Some((found.dev(), found.ino()))
}

fn is_init(process: u32) -> bool {
    let read = |name: &str| fs::read_to_string(format!("/proc/{process}/{name}")).unwrap_or_default();
    is_first(&read("status")) && INITS.contains(&read("comm").trim())
}

/// PID 1 of its own namespace. Source: proc_pid_status(5), `NSpid`.
fn is_first(status: &str) -> bool {
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    numbers.and_then(|numbers| numbers.split_ascii_whitespace().last()) == Some("1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Fuse;

    #[test]
    fn the_first_process_is_the_one_that_its_own_namespace_calls_so() {
        for (status, first) in [
            ("Name:\tsystemd\nNSpid:\t1\n", true),
            ("Name:\tsystemd\nNSpid:\t4711\t1\n", true),
            ("Name:\tsystemd\nNSpid:\t4711\n", false),
            ("Name:\tsystemd\nNSpid:\t4711\t12\n", false),
            ("", false),
        ] {
            assert_eq!(is_first(status), first, "{status}");
        }
    }

    #[test]
    fn nobody_runs_from_an_empty_folder() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path(), Fuse::intact()).unwrap();
        assert_eq!(init_of(&root), None);
    }
}
