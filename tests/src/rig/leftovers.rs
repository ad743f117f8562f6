//! What guests of a state folder leave behind: processes, namespaces, cgroups, mounts, folders, links.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use firstlight_shared::wire::sha256_hex;

use crate::guest::bare::cgroup_mount;
use crate::{run, wait};

/// The mark that everything of a state folder carries in the kernel's names.
pub fn tag(state: &Path) -> String {
    let canonical = fs::canonicalize(state).unwrap_or_else(|_| state.to_owned());
    let mut digest = sha256_hex(canonical.as_os_str().as_encoded_bytes());
    digest.truncate(8);
    digest
}

/// Everything that is left, one line each. Ends of processes are given a moment to be seen.
pub fn find(state: &Path) -> Vec<String> {
    let mut left = Vec::new();
    let _ = wait::until("an empty machine", Duration::from_secs(5), || {
        left = look(state);
        left.is_empty().then_some(())
    });
    left
}

fn look(state: &Path) -> Vec<String> {
    let tag = tag(state);
    let mut left = Vec::new();
    left.extend(namespaces(&tag).iter().map(|name| format!("network namespace {name}")));
    left.extend(cgroups(&tag).iter().map(|path| format!("cgroup {}", path.display())));
    left.extend(processes(state, &tag).iter().map(|(pid, line)| format!("process {pid}: {line}")));
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let state_text = state.to_string_lossy();
    left.extend(
        mounts.lines().filter(|line| line.contains(&*state_text)).map(|line| format!("mount {line}")),
    );
    left.extend(names(&state.join("guests")).map(|name| format!("guest folder {name}")));
    left.extend(
        names(Path::new("/sys/class/net"))
            .filter(|name| name.contains(&tag[..6]))
            .map(|name| format!("link {name}")),
    );
    left
}

/// Removes all by force, after a test that failed: the next one must not suffer.
pub fn sweep(state: &Path) {
    let tag = tag(state);
    for cgroup in cgroups(&tag) {
        let _ = fs::write(cgroup.join("cgroup.kill"), "1");
    }
    for (pid, _) in processes(state, &tag) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    }
    for namespace in namespaces(&tag) {
        let _ = run::run(&mut run::command(["ip", "netns", "del", &namespace]));
    }
    let _ = wait::until("cgroups to empty", Duration::from_secs(5), || {
        // Deepest first: a cgroup with children cannot be removed.
        let mut all = cgroups(&tag);
        all.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
        for cgroup in &all {
            let _ = fs::remove_dir(cgroup);
        }
        all.is_empty().then_some(())
    });
}

fn namespaces(tag: &str) -> Vec<String> {
    names(Path::new("/run/netns")).filter(|name| name.contains(tag)).collect()
}

fn cgroups(tag: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    if let Ok(mount) = cgroup_mount() {
        collect(&mount, tag, false, &mut found);
    }
    found
}

fn collect(folder: &Path, tag: &str, inside: bool, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let ours = inside || entry.file_name().to_string_lossy().contains(tag);
        if ours {
            found.push(entry.path());
        }
        collect(&entry.path(), tag, ours, found);
    }
}

fn processes(state: &Path, tag: &str) -> Vec<(i32, String)> {
    let state = state.to_string_lossy();
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for pid in names(Path::new("/proc")).filter(|name| *name != own) {
        let Ok(number) = pid.parse() else { continue };
        let line = String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default())
            .replace('\0', " ");
        let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let commands = line.contains(&*state) || line.contains(&format!("fl-{tag}"));
        // The commands themselves name the state folder too.
        let asking = line.contains("xtask");
        if cgroup.contains(tag) || (commands && !asking) {
            found.push((number, line));
        }
    }
    found
}

fn names(folder: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned())
}
