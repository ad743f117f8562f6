//! Where the root is in what is read: at the top, or below the folder that Incus keeps it in.

/// How an archive or a folder is laid out. The first telling entry decides, once for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Layout {
    #[default]
    Unknown,
    /// The root itself.
    Root,
    /// An image of Incus: `metadata.yaml`, `templates`, `rootfs`.
    Image,
    /// What `incus export` writes: `backup/index.yaml`, `backup/container/rootfs`.
    Export,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Of the root, relative to it; empty: the root.
    Root(String),
    /// A text about the guest.
    Document(&'static str),
    /// A disk or a root in a format that is not read.
    Sealed(String),
    Elsewhere,
}

pub(super) const INDEX: &str = "backup/index.yaml";
pub(super) const METADATA: &str = "metadata.yaml";

impl Layout {
    pub(super) fn place(&mut self, path: &str) -> Place {
        if *self == Self::Unknown {
            *self = match path {
                "" => return Place::Root(String::new()),
                "backup" => return Place::Elsewhere,
                INDEX => Self::Export,
                METADATA | "rootfs" | "templates" => Self::Image,
                _ if path.starts_with("rootfs/") || path.starts_with("templates/") => Self::Image,
                _ => Self::Root,
            };
        }
        let below = |folder: &str| {
            let rest = path.strip_prefix(folder)?;
            Some(Place::Root(rest.strip_prefix('/').or(rest.is_empty().then_some(""))?.to_owned()))
        };
        match self {
            Self::Unknown | Self::Root => Place::Root(path.to_owned()),
            Self::Image if path == METADATA => Place::Document(METADATA),
            Self::Image => below("rootfs").unwrap_or(Place::Elsewhere),
            Self::Export if path == INDEX => Place::Document(INDEX),
            Self::Export if is_sealed(path) => Place::Sealed(path.to_owned()),
            Self::Export => below("backup/container/rootfs").unwrap_or(Place::Elsewhere),
        }
    }
}

/// Optimized exports are streams of the storage driver; machines are disks.
fn is_sealed(path: &str) -> bool {
    let name = path.strip_prefix("backup/").unwrap_or_default();
    !name.contains('/') && (name.ends_with(".bin") || name.ends_with(".img"))
}

/// Of an archive: relative, without `.`; None if it leads out or nobody could make such a file.
pub(super) fn relative(path: &[u8]) -> Option<String> {
    /// PATH_MAX of Linux.
    const LONGEST: usize = 4096;
    if path.len() >= LONGEST || path.starts_with(b"/") {
        return None;
    }
    let text = String::from_utf8_lossy(path);
    let mut parts = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => return None,
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Where a symlink at `from` leads within the root, as a system that runs on it sees it.
pub(super) fn target(from: &str, link: &str) -> String {
    let mut parts: Vec<&str> = match link.starts_with('/') {
        true => Vec::new(),
        false => from.rsplit_once('/').map_or_else(Vec::new, |(folder, _)| folder.split('/').collect()),
    };
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(paths: &[&str]) -> Vec<Place> {
        let mut layout = Layout::default();
        paths.iter().map(|path| layout.place(path)).collect()
    }

    #[test]
    fn the_first_telling_entry_decides_where_the_root_is() {
        let root = |path: &str| Place::Root(path.to_owned());
        assert_eq!(
            places(&["", "etc", "rootfs/etc/machine-id", "backup/index.yaml"]),
            [root(""), root("etc"), root("rootfs/etc/machine-id"), root("backup/index.yaml")]
        );
        assert_eq!(
            places(&["metadata.yaml", "rootfs", "rootfs/etc", "templates/x", "etc/passwd"]),
            [Place::Document(METADATA), root(""), root("etc"), Place::Elsewhere, Place::Elsewhere]
        );
        assert_eq!(
            places(&[
                "backup",
                "backup/index.yaml",
                "backup/container/rootfs/etc",
                "backup/snapshots/s/rootfs/etc"
            ]),
            [Place::Elsewhere, Place::Document(INDEX), root("etc"), Place::Elsewhere]
        );
        assert_eq!(
            places(&["backup/index.yaml", "backup/container.bin", "backup/virtual-machine.img"])[1..],
            ["backup/container.bin", "backup/virtual-machine.img"].map(|path| Place::Sealed(path.to_owned()))
        );
    }

    #[test]
    fn paths_stay_in_the_root() {
        for (path, expected) in [
            ("./etc//ssh/.", Some("etc/ssh")),
            ("./", Some("")),
            ("/etc", None),
            ("a/../b", None),
            ("..", None),
        ] {
            assert_eq!(relative(path.as_bytes()).as_deref(), expected, "{path}");
        }
        assert_eq!(relative(&[b'a'; 5000]), None);
        assert_eq!(relative(b"a\xff").as_deref(), Some("a\u{fffd}"));
        for (from, link, expected) in [
            ("etc/os-release", "../usr/lib/os-release", "usr/lib/os-release"),
            ("root", "var/roothome", "var/roothome"),
            ("etc/x", "/../../dev/null", "dev/null"),
            ("a/b/c", "./d", "a/b/d"),
        ] {
            assert_eq!(target(from, link), expected);
        }
    }
}
