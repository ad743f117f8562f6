//! Removes all of a rig when its owner says so, or is no more: it reads from a pipe that the owner holds, and the kernel
//! closes that for whoever was killed.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::Rig;

/// Arguments: name of the rig, its cgroup, its folder. Ends with 0 if all of it is gone.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
read -r _ || :
name=$1 cgroup=$2 folder=$3 tries=0
while [ -d "$cgroup" ] && [ "$tries" -lt 400 ]; do
	echo 1 > "$cgroup/cgroup.kill"
	find "$cgroup" -depth -type d -exec rmdir {} + && break
	sleep 0.05
	tries=$((tries + 1))
done
for path in /run/netns/"$name" /run/netns/"$name"-*; do
	[ ! -e "$path" ] || ip netns delete "${path##*/}"
done
for root in "$folder"/guests/*/root; do
	[ ! -d "$root" ] || rm -f "/run/systemd/nspawn/locks/$(stat -c inode-%d:%i "$root")"
done
rm -rf /run/systemd/nspawn/propagate/"$name"-* /run/systemd/nspawn/unix-export/"$name"-*
rm -rf --one-file-system "$folder"/guests "$folder"/dhcp
rmdir "$folder"
[ ! -d "$cgroup" ] && [ ! -d "$folder"/guests ]
"#;

#[derive(Debug)]
pub(super) struct Caretaker(Option<Child>);

impl Caretaker {
    /// Removes what is left of an earlier rig on the same folder, and waits from now on.
    pub(super) fn start(rig: &Rig) -> Result<Self> {
        let mut caretaker = Self::spawn(rig)?;
        caretaker.clean()?;
        let caretaker = Self::spawn(rig)?;
        for name in ["guests", "dhcp"] {
            std::fs::create_dir_all(rig.folder.join(name)).context("a folder of the rig cannot be made")?;
        }
        Ok(caretaker)
    }

    fn spawn(rig: &Rig) -> Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "caretaker", &rig.name]).arg(&rig.cgroup).arg(&rig.folder);
        // A group of its own: Ctrl-C is for the one who started us.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(Some(command.spawn().context("sh cannot be started")?)))
    }

    /// Has all removed, and waits for that. Repeatable.
    pub(super) fn clean(&mut self) -> Result<()> {
        let Some(mut child) = self.0.take() else { return Ok(()) };
        drop(child.stdin.take());
        let status = child.wait().context("the caretaker was lost")?;
        ensure!(status.success(), "its caretaker ended with {status}");
        Ok(())
    }
}

impl Drop for Caretaker {
    fn drop(&mut self) {
        // Only for a rig that never was whole: the owner of a whole one has called it, and heard of the end.
        let _ = self.clean();
    }
}
