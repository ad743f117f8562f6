//! Files in instances, running or not, and what their consoles said.

use firstlight_shared::secret::Secret;
use hyper::body::Bytes;

use super::instance::path;
use super::{Answered, Endpoint, Unreadable};
use crate::backend::incus::client::call::{Body, Call, Method};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FileKind {
    #[default]
    File,
    Directory,
    Symlink,
}

impl FileKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Symlink => "symlink",
        }
    }
}

impl FileKind {
    /// What is neither of the others is a file to the server, a pipe too.
    fn of(answered: &Answered) -> Self {
        match answered.headers.get("x-incus-type").map_or("", String::as_str) {
            "directory" => Self::Directory,
            "symlink" => Self::Symlink,
            _ => Self::File,
        }
    }
}

/// Of a stopped instance the server mounts the disk: it is locked meanwhile. Of a machine it needs the agent in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadFile {
    pub instance: String,
    /// Absolute, in the guest. The last part is not followed if it is a link.
    pub path: String,
    /// In bytes; of a larger file nothing is read.
    pub most: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestFile {
    pub kind: FileKind,
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
    /// A link's target; a folder's content as the server lists it.
    pub content: Bytes,
}

impl Endpoint for ReadFile {
    type Answer = GuestFile;

    fn call(&self) -> Call {
        Call::new(Method::Get, path(&self.instance, "/files")).with("path", &self.path).raw(self.most)
    }

    fn read(answered: Answered) -> Result<GuestFile, Unreadable> {
        let header = |name: &str| answered.headers.get(name).map_or("", String::as_str);
        let number = |name: &str| header(name).parse::<u32>().map_err(Unreadable::because);
        Ok(GuestFile {
            kind: FileKind::of(&answered),
            uid: number("x-incus-uid")?,
            gid: number("x-incus-gid")?,
            mode: u32::from_str_radix(header("x-incus-mode"), 8).map_err(Unreadable::because)?,
            content: answered.bytes,
        })
    }
}

/// What is at a path; nothing is opened. The last part is not followed if it is a link, those before it are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookAtFile {
    pub instance: String,
    /// Absolute, in the guest.
    pub path: String,
}

impl Endpoint for LookAtFile {
    type Answer = FileKind;

    fn call(&self) -> Call {
        Call::new(Method::Head, path(&self.instance, "/files")).with("path", &self.path).raw(0)
    }

    fn read(answered: Answered) -> Result<FileKind, Unreadable> {
        Ok(FileKind::of(&answered))
    }
}

/// Overwrites the content of a file that is there, by way of a link too, and leaves its mode and owner as they are; a folder
/// that is there stays as it is. The folder around it has to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteFile {
    pub instance: String,
    /// Absolute, in the guest.
    pub path: String,
    pub kind: FileKind,
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
    /// A link's target; nothing for a folder.
    pub content: Secret,
}

impl Endpoint for WriteFile {
    type Answer = ();

    fn call(&self) -> Call {
        Call::new(Method::Post, path(&self.instance, "/files"))
            .with("path", &self.path)
            .header("x-incus-type", self.kind.as_str())
            .header("x-incus-uid", self.uid)
            .header("x-incus-gid", self.gid)
            .header("x-incus-mode", format_args!("{:04o}", self.mode))
            .header("x-incus-write", "overwrite")
            .body(Body::Bytes(Bytes::from_owner(Wiped(self.content.clone()))))
    }

    fn read(_answered: Answered) -> Result<(), Unreadable> {
        Ok(())
    }
}

/// The bytes of a secret: they are wiped once they are sent.
struct Wiped(Secret);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}

/// A file, or an empty folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoveFile {
    pub instance: String,
    pub path: String,
}

impl Endpoint for RemoveFile {
    type Answer = ();

    fn call(&self) -> Call {
        Call::new(Method::Delete, path(&self.instance, "/files")).with("path", &self.path)
    }

    fn read(_answered: Answered) -> Result<(), Unreadable> {
        Ok(())
    }
}

/// What the console said lately: LXC keeps so much of it. Empty where it keeps none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadConsole {
    pub instance: String,
}

/// In bytes: LXC's own buffer is smaller.
const CONSOLE: usize = 4 * 1024 * 1024;

impl Endpoint for ReadConsole {
    type Answer = Bytes;

    fn call(&self) -> Call {
        Call::new(Method::Get, path(&self.instance, "/console")).raw(CONSOLE)
    }

    fn read(answered: Answered) -> Result<Bytes, Unreadable> {
        Ok(answered.bytes)
    }
}
