//! What the local backend cannot do is refused before anything is done.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path};

use crate::backend::{GuestPlan, Mount, Size};
use crate::outcome::Fault;

use super::stamp::file_fault;
use super::{archive, cgroup, exec};

const TOOLS: [&str; 9] =
    ["systemd-nspawn", "ip", "tar", "dnsmasq", "nsenter", "setsid", "unshare", "mount", "umount"];
/// systemd-nspawn and the guest's systemd put their own file systems there.
const RESERVED: [&str; 5] = ["/proc", "/sys", "/dev", "/run", "/tmp"];
/// The guest's programs, at whatever depth; those beside /usr are links into it.
const PROGRAMS: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];
/// Without these the guest would not start; what lies below them may be a volume.
const SYSTEM: [&str; 2] = ["/etc", "/boot"];
/// NAME_MAX and PATH_MAX of Linux, in bytes.
const NAME_AT_MOST: usize = 255;
const PATH_AT_MOST: usize = 4095;

/// `root` is where the guest's root will be: what is mounted in it has to be named there, too.
pub(super) fn check(plan: &GuestPlan, root: &Path) -> Result<(), Fault> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Fault::new(
            "no-root",
            "the local backend makes containers and network namespaces: it needs root",
        )
        .with_hint("run it with sudo"));
    }
    if let Some(tool) = TOOLS.into_iter().find(|tool| exec::find(tool).is_none()) {
        return Err(Fault::new("missing-tool", format!("`{tool}` is not installed"))
            .with_hint(exec::install_hint(tool)));
    }
    cgroup::find()?;
    check_unserved(plan)?;
    check_size(&plan.size)?;
    plan.mounts.iter().try_for_each(|mount| check_mount(mount, root))?;
    let golden = Path::new(&plan.golden);
    check_golden(golden)?;
    archive::look(golden).map_err(|error| error.into_fault(golden))
}

/// What other backends have, and this one does not.
fn check_unserved(plan: &GuestPlan) -> Result<(), Fault> {
    let place = &plan.place;
    let asked = [
        ("kind", plan.kind.is_some()),
        ("node", place.node.is_some()),
        ("storage", place.storage.is_some() || plan.mounts.iter().any(|mount| mount.storage.is_some())),
        ("pool", place.pool.is_some()),
        ("vmid", place.vmid.is_some()),
        ("remote", place.remote.is_some()),
        ("project", place.project.is_some()),
        ("nics", !plan.nics.is_empty()),
        ("tags", !plan.tags.is_empty()),
        ("onboot", plan.onboot.is_some()),
        ("mounts.backup", plan.mounts.iter().any(|mount| mount.backup.is_some())),
    ];
    match asked.into_iter().find(|(_, asked)| *asked) {
        Some((what, _)) => Err(Fault::new(
            "unsupported-field",
            format!("the local backend has no `{what}`: leave it out"),
        )
        .with_hint(
            "its guests are containers of this machine, each with one interface in the companion's own network",
        )),
        None => Ok(()),
    }
}

fn check_size(size: &Size) -> Result<(), Fault> {
    let asked = [
        ("cores", size.cores.is_some()),
        ("memory", size.memory_bytes.is_some()),
        ("disk", size.disk_bytes.is_some()),
    ];
    match asked.into_iter().find(|(_, asked)| *asked) {
        Some((what, _)) => Err(no_quotas(what)),
        None => Ok(()),
    }
}

fn no_quotas(what: &str) -> Fault {
    Fault::new("unsupported-size", format!("the local backend has no quotas: leave `{what}` out"))
        .with_hint("its guests share the cores, memory and disk of this machine")
}

fn check_mount(mount: &Mount, root: &Path) -> Result<(), Fault> {
    if mount.size_bytes.is_some() {
        return Err(no_quotas("size"));
    }
    let path = &mount.path;
    let Some((problem, hint)) = mount_problem(path, root) else { return Ok(()) };
    let shown = firstlight_shared::text::escape(&path.to_string_lossy(), 200);
    Err(Fault::new("unsupported-mount", format!("`{shown}` cannot be a mount of a guest: {problem}"))
        .with_hint(hint))
}

/// What is wrong with it, and what would be right.
fn mount_problem(path: &Path, root: &Path) -> Option<(&'static str, String)> {
    let plain = path.components().skip(1).all(|part| matches!(part, Component::Normal(_)));
    let has_control = path.to_string_lossy().contains(char::is_control);
    if !path.is_absolute() || !plain || has_control {
        let hint = "an absolute path without `..` and control characters is wanted";
        return Some(("it is not a plain absolute path", hint.to_owned()));
    }
    let room = PATH_AT_MOST.saturating_sub(root.as_os_str().len());
    if path.as_os_str().len() > room || path.components().any(|part| part.as_os_str().len() > NAME_AT_MOST) {
        let hint = format!("{NAME_AT_MOST} bytes for each part and {room} for the whole are the most");
        return Some(("it is too long", hint));
    }
    let below = |places: &[&str]| places.iter().any(|place| path.starts_with(place));
    let at = path == Path::new("/") || SYSTEM.iter().any(|place| path == Path::new(place));
    if at || below(&PROGRAMS) {
        return Some(("it would hide the guest's own system", outside()));
    }
    below(&RESERVED).then(|| ("the guest puts its own file systems there", outside()))
}

fn outside() -> String {
    format!(
        "not /, {}; neither at nor below {}, {}",
        SYSTEM.join(", "),
        PROGRAMS.join(", "),
        RESERVED.join(", ")
    )
}

fn check_golden(golden: &Path) -> Result<(), Fault> {
    let shown = golden.display();
    let hint = "give the path of a root as tar archive in `golden` (relative to the spec file)";
    let fault = |code: &str, message: String| Err(Fault::new(code, message).with_hint(hint));
    // Looked at before it is opened: opening a FIFO would wait for a writer.
    let metadata = match std::fs::metadata(golden) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return fault("golden-missing", format!("golden {shown} is not there"));
        }
        Err(error) => return fault("golden-unreadable", format!("golden {shown} cannot be read: {error}")),
    };
    if !metadata.is_file() {
        return fault("golden-not-archive", format!("golden {shown} is not a file"));
    }
    if metadata.len() == 0 {
        return fault("golden-not-archive", format!("golden {shown} is empty"));
    }
    match File::open(golden) {
        Ok(_) => Ok(()),
        Err(error) => fault("golden-unreadable", format!("golden {shown} cannot be read: {error}")),
    }
}

/// Size and time of change: a golden that is written anew has others.
pub(super) fn golden_mark(golden: &Path) -> Result<String, Fault> {
    check_golden(golden)?;
    let metadata =
        std::fs::metadata(golden).map_err(|error| file_fault("look at the golden", golden, &error))?;
    Ok(format!("{} bytes of {}.{:09}", metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_other_backends_have_is_refused_by_name() {
        for (name, key) in [
            ("remote", json!({ "place": { "remote": "lab" } })),
            ("project", json!({ "place": { "project": "lab" } })),
            ("vmid", json!({ "place": { "vmid": 101 } })),
            ("nics", json!({ "nics": [{ "bridge": "br0" }] })),
            ("kind", json!({ "kind": "lxc" })),
            ("mounts.backup", json!({ "mounts": [{ "path": "/a", "size_bytes": null, "backup": true }] })),
        ] {
            let mut plan = json!({ "name": "web-01", "golden": "/golden.tar" });
            plan.as_object_mut().unwrap().extend(key.as_object().unwrap().clone());
            let fault = check_unserved(&serde_json::from_value(plan).unwrap()).unwrap_err();
            assert_eq!(fault.code, "unsupported-field");
            assert!(fault.message.contains(&format!("`{name}`")), "{}", fault.message);
        }
    }

    #[test]
    fn quotas_are_refused_by_name() {
        let size = Size { memory_bytes: Some(1), ..Size::default() };
        let fault = check_size(&size).unwrap_err();
        assert_eq!(fault.code, "unsupported-size");
        assert!(fault.message.contains("`memory`"));
        assert!(check_size(&Size::default()).is_ok());
    }

    #[test]
    fn mounts_must_lie_plainly_inside() {
        let mount = |path: &str| {
            check_mount(
                &Mount { path: path.into(), size_bytes: None, storage: None, backup: None },
                Path::new("/s/root"),
            )
        };
        let longest = format!("/{}", "ä".repeat(127));
        let deepest = "/n".repeat(2044);
        for right in
            ["/mnt/data", "/srv", "/var/lib/x y", "/etc/ssl/more", "/library", "/users", &longest, &deepest]
        {
            assert!(mount(right).is_ok(), "{right}");
        }
        let (name, path) = (format!("/mnt/{}", "n".repeat(256)), "/n".repeat(2045));
        let hiding = "it would hide the guest's own system";
        let own = "the guest puts its own file systems there";
        for (wrong, said) in [
            ("", "plain"),
            ("mnt", "plain"),
            ("/mnt/../etc", "plain"),
            ("//..", "plain"),
            ("/mnt/a\u{1b}[31m", "plain"),
            ("/mnt/a\nb", "plain"),
            (name.as_str(), "too long"),
            (path.as_str(), "too long"),
            ("/", hiding),
            ("/etc", hiding),
            ("/etc/", hiding),
            ("/usr", hiding),
            ("/usr/./local", hiding),
            ("/bin", hiding),
            ("/sbin/x", hiding),
            ("/lib", hiding),
            ("/lib64", hiding),
            ("/boot", hiding),
            ("/proc/x", own),
            ("/dev", own),
            ("/sys/fs", own),
            ("/run", own),
        ] {
            let fault = mount(wrong).unwrap_err();
            assert_eq!(fault.code, "unsupported-mount", "{wrong:?}");
            assert!(fault.message.contains(said) && !fault.message.contains(char::is_control), "{fault:?}");
        }
        assert_eq!(
            check_mount(
                &Mount { path: "/a".into(), size_bytes: Some(1), storage: None, backup: None },
                Path::new("/s")
            )
            .unwrap_err()
            .code,
            "unsupported-size"
        );
    }

    #[test]
    fn goldens_are_files_with_something_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("golden.tar");
        assert_eq!(check_golden(&file).unwrap_err().code, "golden-missing");
        assert_eq!(check_golden(folder.path()).unwrap_err().code, "golden-not-archive");
        std::fs::write(&file, "").unwrap();
        assert_eq!(check_golden(&file).unwrap_err().code, "golden-not-archive");
        std::fs::write(&file, "x").unwrap();
        assert!(check_golden(&file).is_ok());
        let mark = golden_mark(&file).unwrap();
        assert_eq!(golden_mark(&file).unwrap(), mark);
        std::fs::write(&file, "xy").unwrap();
        assert_ne!(golden_mark(&file).unwrap(), mark);
    }
}
