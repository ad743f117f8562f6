//! `mount`: something is mounted there, of the wanted type and size, and takes writes.

use std::path::Path;

use firstlight_shared::error::Chain;
use serde::Deserialize;

use super::Look;
use super::value::{AbsolutePath, OneOrMore};
use crate::sys::{Mount, Space, SysError, aside, mount_at, prove_writable, space_of};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MountCheck {
    path: AbsolutePath,
    fstype: Option<OneOrMore>,
    min_size: Option<Size>,
    min_free: Option<Size>,
    #[serde(default)]
    writable: bool,
}

/// Bytes as systemd writes them: `"512M"`, `"10G"`, by powers of 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Size(u64);

impl TryFrom<String> for Size {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let power = ["", "K", "M", "G", "T", "P"].iter().position(|name| *name == unit);
        let bytes = power.zip(number.parse::<u64>().ok()).and_then(|(power, number)| {
            number.checked_mul(1024_u64.checked_pow(u32::try_from(power).ok()?)?)
        });
        bytes.map(Self).ok_or_else(|| format!("`{text}` is no size: a number and K, M, G or T are wanted"))
    }
}

/// What was seen of a mount point; what nobody asked for is not looked at.
#[derive(Debug)]
struct Seen {
    mount: Option<Mount>,
    space: Option<Space>,
    /// Why it takes no writes.
    refusal: Option<String>,
}

pub(super) async fn look(keys: &MountCheck) -> Look {
    let own = keys.clone();
    match aside(move || observe(&own)).await {
        Some(Ok(seen)) => judge(keys, &seen),
        Some(Err(error)) => Look::cannot_tell(Chain(&error).to_string()),
        None => Look::no_thread(),
    }
}

fn observe(keys: &MountCheck) -> Result<Seen, SysError> {
    let path = Path::new(&keys.path.0);
    // Asked first: it makes an automount mount.
    let space = space_of(path);
    let mount = mount_at(keys.path.0.trim_end_matches('/')).and_then(|mount| match mount {
        None if keys.path.0 == "/" => mount_at("/"),
        mount => Ok(mount),
    })?;
    if mount.is_none() {
        return Ok(Seen { mount, space: None, refusal: None });
    }
    let refusal = match prove(keys, path) {
        Some(Err(error)) => Some(Chain(&error).to_string()),
        Some(Ok(())) | None => None,
    };
    Ok(Seen { mount, space: Some(space?), refusal })
}

fn prove(keys: &MountCheck, path: &Path) -> Option<Result<(), SysError>> {
    keys.writable.then(|| prove_writable(path))
}

fn judge(keys: &MountCheck, seen: &Seen) -> Look {
    let path = &keys.path.0;
    let Some(mount) = &seen.mount else { return Look::not_yet(format!("nothing is mounted at {path}")) };
    if let Some(wanted) = &keys.fstype
        && !wanted.as_slice().contains(&mount.fstype)
    {
        return Look::not_yet(format!("{path} is {}, not {}", mount.fstype, wanted.as_slice().join(" or ")));
    }
    let space = seen.space.unwrap_or(Space { total: 0, available: 0 });
    for (wanted, found, what) in
        [(keys.min_size, space.total, "large"), (keys.min_free, space.available, "free")]
    {
        if wanted.is_some_and(|wanted| found < wanted.0) {
            return Look::not_yet(format!("{path} has only {found} bytes {what}"));
        }
    }
    if let Some(refusal) = &seen.refusal {
        return Look::not_yet(refusal.clone());
    }
    let writable = if keys.writable { ", took a write" } else { "" };
    Look::pass(format!("{path} is {} from {}, {} bytes{writable}", mount.fstype, mount.source, space.total))
}

#[cfg(test)]
mod tests {
    use firstlight_shared::check::Verdict;

    use super::super::units::said;
    use super::*;

    #[test]
    fn a_mount_is_judged_by_type_size_and_proof() {
        let mount = |fstype: &str| Some(Mount { fstype: fstype.into(), source: "/dev/sdb1".into() });
        let space = Some(Space { total: 10 << 30, available: 1 << 30 });
        let refusal = Some("cannot write into /data: Read-only file system".to_owned());
        for (keys, mount, refusal, verdict) in [
            ("", mount("ext4"), None, Verdict::Pass),
            ("", None, None, Verdict::Fail),
            ("fstype = \"ext4\"", mount("ext4"), None, Verdict::Pass),
            ("fstype = [\"xfs\", \"ext4\"]", mount("ext4"), None, Verdict::Pass),
            ("fstype = \"ext4\"", mount("tmpfs"), None, Verdict::Fail),
            ("min_size = \"10G\"", mount("ext4"), None, Verdict::Pass),
            ("min_size = \"11G\"", mount("ext4"), None, Verdict::Fail),
            ("min_free = \"2G\"", mount("ext4"), None, Verdict::Fail),
            ("writable = true", mount("ext4"), None, Verdict::Pass),
            ("writable = true", mount("ext4"), refusal, Verdict::Fail),
        ] {
            let check: MountCheck = toml::from_str(&format!("path = \"/data\"\n{keys}")).unwrap();
            let look = judge(&check, &Seen { mount, space, refusal });
            assert_eq!(said(&look).0, verdict, "{keys}: {look:?}");
        }
        for wrong in ["min_size = \"10GB\"", "min_size = \"G\"", "min_size = \"99999999P\"", "min_size = 5"] {
            assert!(toml::from_str::<MountCheck>(&format!("path = \"/data\"\n{wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_root_itself_is_a_mount_point_and_a_folder_in_it_is_none() {
        let check = |path: &str| toml::from_str::<MountCheck>(&format!("path = \"{path}\"")).unwrap();
        assert!(observe(&check("/")).unwrap().mount.is_some());
        assert!(observe(&check("/proc/")).unwrap().mount.is_some());
        assert!(observe(&check("/proc/sys/kernel/absent")).unwrap().mount.is_none());
    }
}
