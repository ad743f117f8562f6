//! The name of a Proxmox task: `UPID:node:pid:pstart:starttime:type:id:user:`.

use std::fmt;
use std::str::FromStr;

/// A task of one node. Written as it was read; journaled before the task is followed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Upid {
    text: String,
    pub node: String,
    /// Process of the worker.
    pub pid: u32,
    /// Seconds since 1970, by the node's clock.
    pub started: u64,
    /// `vzrestore`, `vzstart`, `qmrestore`, `resize`, ...
    pub kind: String,
    /// The VMID for tasks of guests; `VMID@STORAGE` for `imgdel`; may be empty.
    pub id: String,
    /// User or token that it belongs to.
    pub user: String,
}

/// The text names no task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the name of a Proxmox task")]
pub struct UpidError(String);

impl Upid {
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The guest that the task works on.
    pub fn vmid(&self) -> Option<u32> {
        self.id.parse().ok()
    }
}

impl fmt::Display for Upid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Upid {
    type Err = UpidError;

    fn from_str(text: &str) -> Result<Self, UpidError> {
        parse(text).ok_or_else(|| UpidError(firstlight_shared::text::escape(text, 120)))
    }
}

fn parse(text: &str) -> Option<Upid> {
    let fields: Vec<&str> = text.split(':').collect();
    let ["UPID", node, pid, pstart, started, kind, id, user, ""] = fields[..] else { return None };
    let is_word = |text: &str| !text.chars().any(|c| c.is_whitespace() || c.is_control());
    let plausible = is_node(node)
        && hexadecimal(pstart, 8..=9).is_some()
        && !kind.is_empty()
        && !user.is_empty()
        && [kind, id, user].into_iter().all(is_word);
    plausible.then_some(())?;
    Some(Upid {
        text: text.to_owned(),
        node: node.to_owned(),
        pid: u32::try_from(hexadecimal(pid, 8..=8)?).ok()?,
        started: hexadecimal(started, 8..=8)?,
        kind: kind.to_owned(),
        id: id.to_owned(),
        user: user.to_owned(),
    })
}

fn is_node(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

fn hexadecimal(text: &str, length: std::ops::RangeInclusive<usize>) -> Option<u64> {
    let digits = text.chars().all(|c| c.is_ascii_hexdigit());
    (digits && length.contains(&text.len())).then(|| u64::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESTORE: &str = "UPID:pve1:00000D27:00056742:6B017F12:vzrestore:111:lab@pve!host:";

    #[test]
    fn a_task_says_where_and_when_it_runs_and_on_what() {
        let upid: Upid = RESTORE.parse().unwrap();
        assert_eq!((upid.node.as_str(), upid.pid, upid.started), ("pve1", 0xd27, 0x6b01_7f12));
        assert_eq!(
            (upid.kind.as_str(), upid.vmid(), upid.user.as_str()),
            ("vzrestore", Some(111), "lab@pve!host")
        );
        assert_eq!(upid.to_string(), RESTORE);
        let image: Upid =
            "UPID:pve1:0001AC1E:00066A75:6B0181A9:imgdel:146@local:lab@pve!host:".parse().unwrap();
        assert_eq!(image.vmid(), None);
        let old_host: Upid = "UPID:a-b:0001AC1E:100066A75:6B0181A9:aptupdate::root@pam:".parse().unwrap();
        assert_eq!((old_host.id.as_str(), old_host.vmid()), ("", None));
    }

    #[test]
    fn nothing_else_passes() {
        for wrong in [
            "",
            "UPID",
            "garbage",
            &RESTORE[1..],
            &RESTORE[..RESTORE.len() - 1],
            &format!("{RESTORE}x"),
            &format!("{RESTORE}:"),
            &RESTORE.replace("pve1", ""),
            &RESTORE.replace("pve1", "-pve"),
            &RESTORE.replace("pve1", "pve/../x"),
            &RESTORE.replace("00000D27", "D27"),
            &RESTORE.replace("00000D27", "+0000D27"),
            &RESTORE.replace("vzrestore", ""),
            &RESTORE.replace("111", "1 1"),
            &RESTORE.replace("111", "1\n1"),
            &RESTORE.replace("lab@pve!host", ""),
        ] {
            assert!(wrong.parse::<Upid>().is_err(), "{wrong}");
        }
    }
}
