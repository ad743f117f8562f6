//! Whether somebody works in a root, however the root is named.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use super::Root;

/// Who works in a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Nobody but whoever runs this program: its ancestors and the rest of its pipeline.
    Free,
    /// The least number of a process whose root it is.
    By(u32),
    /// /proc is not there.
    Unseen,
}

/// A system runs from a root where processes work in it that have nothing to do with this one, whatever PID 1 is called. Where
/// an image is built (a chroot, a container that only builds) there are none.
pub(crate) fn use_of(root: &Root) -> Use {
    let (Some(number), Ok(entries)) = (root.number(), fs::read_dir("/proc")) else { return Use::Unseen };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let all: BTreeMap<u32, Process> = numbers.filter_map(|process| Some((process, read(process)?))).collect();
    let own = std::process::id();
    if !all.contains_key(&own) {
        return Use::Unseen;
    }
    strangers(&all, own)
        .into_iter()
        .find(|process| root_of(*process) == Some(number))
        .map_or(Use::Free, Use::By)
}

fn root_of(process: u32) -> Option<(u64, u64)> {
    let found = fs::metadata(format!("/proc/{process}/root/.")).ok()?;
    Some((found.dev(), found.ino()))
}

fn read(process: u32) -> Option<Process> {
    Process::parse(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    parent: u32,
    group: u32,
    /// It has a program, and has not ended.
    works: bool,
}

impl Process {
    /// Source: proc_pid_stat(5); `PF_KTHREAD` of the kernel's sched.h.
    fn parse(stat: &str) -> Option<Self> {
        const KERNEL: u64 = 0x0020_0000;
        // The name may hold anything, parentheses too.
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        let is_over = matches!(fields.next()?, "Z" | "X");
        let (parent, group) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let flags: u64 = fields.nth(3)?.parse().ok()?;
        Some(Self { parent, group, works: !is_over && flags & KERNEL == 0 })
    }
}

/// Processes that are neither this one's ancestors nor of its pipeline, in the order of their numbers.
fn strangers(all: &BTreeMap<u32, Process>, own: u32) -> Vec<u32> {
    let mut kin = vec![own];
    while let Some(parent) = kin.last().and_then(|last| all.get(last)).map(|process| process.parent)
        && !kin.contains(&parent)
    {
        kin.push(parent);
    }
    let pipeline = all.get(&own).map(|process| process.group);
    let is_strange = |(number, process): &(&u32, &Process)| {
        process.works && !kin.contains(number) && Some(process.group) != pipeline
    };
    all.iter().filter(is_strange).map(|(number, _)| *number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Fuse;

    fn stat(name: &str, state: char, parent: u32, group: u32, flags: u64) -> Process {
        let line = format!("7 ({name}) {state} {parent} {group} 1 34816 7 {flags} 0 0 0 0\n");
        Process::parse(&line).unwrap()
    }

    #[test]
    fn kernel_threads_and_what_has_ended_do_not_work() {
        assert_eq!(stat("a) Z (b", 'S', 4, 5, 0x40_0100), Process { parent: 4, group: 5, works: true });
        assert!(!stat("kthreadd", 'S', 0, 0, 0x20_8040).works);
        assert!(!stat("sh", 'Z', 4, 5, 0).works);
        assert_eq!(Process::parse("7 (sh"), None);
        assert_eq!(Process::parse("7 (sh) S 1 x"), None);
    }

    #[test]
    fn ancestors_and_the_own_pipeline_are_no_strangers() {
        let works = |parent, group| Process { parent, group, works: true };
        // `sh -c 'firstlight-guest seal | tee log'` as PID 1 of a container.
        let mut all = BTreeMap::from([(1, works(0, 1)), (7, works(1, 1)), (8, works(1, 1))]);
        assert_eq!(strangers(&all, 7), [] as [u32; 0]);
        // From a shell with job control; the kernel's threads are there, too.
        all = BTreeMap::from([
            (1, works(0, 1)),
            (2, Process { parent: 0, group: 0, works: false }),
            (30, works(1, 30)),
            (31, works(30, 31)),
            (32, works(30, 31)),
        ]);
        assert_eq!(strangers(&all, 31), [] as [u32; 0]);
        // Something serves beside it, however it was started.
        all.insert(9, works(1, 9));
        assert_eq!(strangers(&all, 31), [9]);
        // And from a process that came from outside: its parent is not seen.
        all.insert(40, works(0, 40));
        assert_eq!(strangers(&all, 40), [1, 9, 30, 31, 32]);
    }

    #[test]
    fn nobody_works_in_an_empty_folder() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path(), Fuse::intact()).unwrap();
        assert_eq!(use_of(&root), Use::Free);
    }
}
