//! What a build leaves in the root that is no part of the golden: logs, lists, caches, and what differs from build to
//! build. Identity is the guest agent's part.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Removed where they are. A `*` stands for the rest of a name; alone, for all in a folder.
const GONE: [&str; 35] = [
    "dev/*",
    "etc/.pwd.lock",
    "etc/group-",
    "etc/gshadow-",
    "etc/hostname",
    "etc/passwd-",
    "etc/resolv.conf",
    "etc/shadow-",
    // Those of the packages differ from build to build, and the seal would put down their fingerprints.
    "etc/ssh/ssh_host_*",
    "etc/subgid-",
    "etc/subuid-",
    "proc/*",
    "root/.bash_history",
    "root/.cache",
    "root/.lesshst",
    "root/.viminfo",
    "root/.wget-hsts",
    "run/*",
    "sys/*",
    "tmp/*",
    "var/backups/*",
    "var/cache/apparmor/*",
    "var/cache/apt/*",
    "var/cache/debconf/config.dat-old",
    "var/cache/debconf/templates.dat-old",
    "var/cache/fontconfig/*",
    "var/cache/ldconfig/aux-cache",
    "var/cache/man/*",
    "var/lib/apt/lists/*",
    "var/lib/dpkg/available-old",
    "var/lib/dpkg/status-old",
    "var/lib/dpkg/statoverride-old",
    "var/lib/systemd/random-seed",
    "var/log/*",
    "var/tmp/*",
];

/// Folders that somebody misses, with their modes; they are kept where they are there.
const KEPT: [&str; 3] = ["var/cache/apt/archives", "var/lib/apt/lists/partial", "var/log"];

/// Removes what is no part of the golden. Never follows a link: a root's links lead out of it.
///
/// # Errors
/// Something cannot be removed.
pub(super) fn tidy(root: &Path, epoch: u64) -> io::Result<()> {
    for pattern in GONE {
        let (folder, name) = pattern.rsplit_once('/').unwrap_or(("", pattern));
        let Some(folder) = inside(root, folder) else { continue };
        match name {
            "*" => empty(root, &folder)?,
            name if name.ends_with('*') => {
                for entry in fs::read_dir(&folder)? {
                    let entry = entry?;
                    if entry.file_name().to_string_lossy().starts_with(name.trim_end_matches('*')) {
                        remove(&entry.path())?;
                    }
                }
            }
            // A link is of who resolves names in the clone; a file is the builder's.
            "resolv.conf" if folder.join(name).is_symlink() => {}
            name => remove(&folder.join(name))?,
        }
    }
    put_back_passwords(root, epoch)
}

/// A real folder in the root, with no link on the way.
pub(super) fn inside(root: &Path, path: &str) -> Option<PathBuf> {
    let mut at = root.to_owned();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        at.push(part);
        if !fs::symlink_metadata(&at).ok()?.is_dir() {
            return None;
        }
    }
    Some(at)
}

fn empty(root: &Path, folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let known = path.strip_prefix(root).ok().and_then(Path::to_str).unwrap_or_default();
        let is_folder = fs::symlink_metadata(&path)?.is_dir();
        // Daemons that run as somebody else cannot make their folders of logs and packages anew.
        match is_folder && (known.starts_with("var/log/") || KEPT.iter().any(|kept| kept.starts_with(known)))
        {
            true => empty(root, &path)?,
            false => remove(&path)?,
        }
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Accounts that packages made today: the day of their password's last change is the golden's.
fn put_back_passwords(root: &Path, epoch: u64) -> io::Result<()> {
    let Some(file) = inside(root, "etc").map(|folder| folder.join("shadow")) else { return Ok(()) };
    match fs::symlink_metadata(&file) {
        Ok(metadata) if metadata.is_file() => {
            let text = fs::read_to_string(&file)?;
            // In place: owner and mode stay.
            fs::write(&file, with_days(&text, epoch / 86_400))
        }
        _ => Ok(()),
    }
}

/// Changes of passwords that are younger than `days` since 1970 are of that day.
fn with_days(shadow: &str, days: u64) -> String {
    let line = |line: &str| {
        let mut fields: Vec<String> = line.split(':').map(str::to_owned).collect();
        if let Some(day) = fields.get_mut(2)
            && day.parse::<u64>().is_ok_and(|day| day > days)
        {
            *day = days.to_string();
        }
        fields.join(":")
    };
    shadow.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_is_no_part_of_the_golden_goes_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (root, outside) = (folder.path().join("root"), folder.path().join("outside"));
        let put = |path: &str| {
            let file = root.join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "x").unwrap();
        };
        let gone = [
            "dev/null",
            "etc/hostname",
            "etc/passwd-",
            "root/.bash_history",
            "run/x/y",
            "tmp/.x",
            "var/cache/apt/pkgcache.bin",
            "var/cache/apt/archives/a.deb",
            "var/lib/apt/lists/a",
            "var/log/dpkg.log",
            "var/log/apt/term.log",
            "var/lib/dpkg/status-old",
            "etc/ssh/ssh_host_rsa_key.pub",
        ];
        let kept = ["etc/passwd", "root/.profile", "var/lib/dpkg/status", "var/cache/x", "usr/dev/null"];
        gone.iter().chain(&kept).for_each(|path| put(path));
        fs::create_dir_all(root.join("var/lib/apt/lists/partial")).unwrap();
        fs::create_dir_all(&outside).unwrap();
        fs::write(outside.join("precious"), "x").unwrap();
        fs::write(root.join("etc/shadow"), "root:*:20000:0:::::\ndaemon:*:7:0:::::\n").unwrap();
        symlink(&outside, root.join("var/tmp")).unwrap();
        tidy(&root, 10_000 * 86_400 + 5).unwrap();
        for path in gone {
            assert!(!root.join(path).exists(), "{path}");
        }
        for path in kept.iter().chain(&["var/log/apt", "var/lib/apt/lists/partial", "var/cache/apt/archives"])
        {
            assert!(root.join(path).exists(), "{path}");
        }
        assert!(outside.join("precious").exists(), "a link was followed");
        let shadow = fs::read_to_string(root.join("etc/shadow")).unwrap();
        assert_eq!(shadow, "root:*:10000:0:::::\ndaemon:*:7:0:::::\n");
        tidy(&root, 0).unwrap();
    }
}
