//! The stages of a bring-up here: what is there (`probe`), how it is made (`act`), how it goes away (`undo`).
//!
//! | stage | makes | undone by |
//! |---|---|---|
//! | restore | the stamped folder with the unpacked root | removing the folder |
//! | mac | network namespace, cable, address, DHCP entry | removing them |
//! | hostname | etc/hostname in the root | goes with the folder |
//! | size | nothing: preflight refused sizes | |
//! | mounts | a folder for each volume | goes with the folder |
//! | start | claim file, cgroup, processes | killing them, removing the claim |

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::inside::Root;
use super::stamp::{self, Standing, file_fault};
use super::{Local, archive, blocking, machine, remove};
use crate::backend::{Placement, Stage};
use crate::outcome::{Fault, Probe};

/// The file that hostname(5) names is short.
const HOSTNAME_LIMIT: usize = 4096;

impl Local {
    pub(super) async fn probe_stage(&self, stage: Stage, guest: &Placement) -> Result<Probe, Fault> {
        match stamp::standing(&self.names, guest) {
            Standing::Other(whose) => return Ok(Probe::Foreign(whose)),
            Standing::Free => return Ok(Probe::Absent),
            Standing::Ours => {}
        }
        let done = match stage {
            Stage::Restore => self.names.folder(&guest.plan.name).root().is_dir(),
            Stage::Mac => self.fabric.is_connected(&guest.plan.name, &guest.allocation).await?,
            Stage::Hostname => self.has_hostname(guest),
            Stage::Size => true,
            Stage::Mounts => self.mount_folders(guest).iter().all(|folder| folder.is_dir()),
            Stage::Start => machine::leader(&self.keeper()?, guest).await?.is_some(),
        };
        Ok(if done { Probe::Present(self.output(stage, guest)) } else { Probe::Absent })
    }

    pub(super) async fn act_stage(&self, stage: Stage, guest: &Placement) -> Result<Value, Fault> {
        match (stage, stamp::standing(&self.names, guest)) {
            (_, Standing::Other(whose)) => return Err(stamp::foreign(&self.names, guest, &whose)),
            (Stage::Restore, Standing::Free) | (_, Standing::Ours) => {}
            (_, Standing::Free) => {
                return Err(Fault::new(
                    "guest-gone",
                    format!("guest `{}` has no folder any more", guest.plan.name),
                ));
            }
        }
        match stage {
            Stage::Restore => self.restore(guest).await?,
            Stage::Mac => self.connect(guest).await?,
            Stage::Hostname => self.write_hostname(guest)?,
            Stage::Size => {}
            Stage::Mounts => {
                for folder in self.mount_folders(guest) {
                    // A volume is entered by the guest's users: only its parent is closed.
                    fs::create_dir_all(&folder)
                        .map_err(|error| file_fault("make a volume", &folder, &error))?;
                }
            }
            Stage::Start => {
                machine::start(&self.keeper()?, &self.names, guest).await?;
            }
        }
        Ok(self.output(stage, guest))
    }

    pub(super) async fn undo_stage(&self, stage: Stage, guest: &Placement) -> Result<(), Fault> {
        // Another job's guest is not ours to touch, and with that ours is surely gone, but for what has our job in its
        // name. Without any folder, what carries our tag and this name has lost its stamp, and nobody else's job can have it.
        let others = matches!(stamp::standing(&self.names, guest), Standing::Other(_));
        match stage {
            Stage::Mac if others => Ok(()),
            Stage::Start => machine::end(&self.keeper()?, &self.names, guest).await,
            Stage::Mac => self.fabric.disconnect(&self.keeper()?, &guest.plan.name).await,
            // Part of the folder, which goes whole.
            Stage::Hostname | Stage::Size | Stage::Mounts => Ok(()),
            Stage::Restore => {
                let (names, guest) = (self.names.clone(), guest.clone());
                blocking(move || remove::remove_guest(&names, &guest)).await
            }
        }
    }

    fn output(&self, stage: Stage, guest: &Placement) -> Value {
        let name = &guest.plan.name;
        match stage {
            Stage::Restore => json!({ "root": self.names.folder(name).root() }),
            Stage::Mac => json!({
                "namespace": self.names.guest(name),
                "mac": guest.allocation.mac,
                "addresses": guest.allocation.addresses,
            }),
            Stage::Hostname => json!({ "hostname": name }),
            Stage::Size => json!({}),
            Stage::Mounts => json!({ "folders": self.mount_folders(guest) }),
            Stage::Start => json!({ "machine": self.names.machine(name) }),
        }
    }

    async fn restore(&self, guest: &Placement) -> Result<(), Fault> {
        let (names, guest) = (self.names.clone(), guest.clone());
        blocking(move || {
            stamp::ensure_stamped(&names, &guest)?;
            let folder = names.folder(&guest.plan.name);
            if folder.root().is_dir() {
                return Ok(());
            }
            let partial = folder.partial_root(rand::random());
            let golden = Path::new(&guest.plan.golden);
            archive::unpack(golden, &partial).map_err(|error| error.into_fault(golden))?;
            machine::still_ours(&names, &guest)?;
            match fs::rename(&partial, folder.root()) {
                // Another attempt at the same job was whole before this one.
                Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => {}
                ended => ended.map_err(|error| file_fault("finish the root", &partial, &error))?,
            }
            for given_up in folder.partial_roots() {
                // It goes with the folder at the latest.
                if let Err(fault) = remove::remove_tree(&given_up) {
                    tracing::debug!(folder = %given_up.display(), error = %fault, "not removed yet");
                }
            }
            Ok(())
        })
        .await
    }

    async fn connect(&self, guest: &Placement) -> Result<(), Fault> {
        let (keeper, name) = (self.keeper()?, &guest.plan.name);
        if self.fabric.is_connected(name, &guest.allocation).await? {
            return Ok(());
        }
        if keeper.runs(&machine::process(guest)).await? {
            return Err(Fault::new(
                "guest-running",
                format!("guest `{name}` runs: its network is not made anew"),
            ));
        }
        self.fabric.connect(&keeper, name, &guest.allocation).await?;
        // Carried out late, after the job was undone: nobody else would remove it.
        let standing = stamp::standing(&self.names, guest);
        if standing == Standing::Free {
            self.fabric.disconnect(&keeper, name).await?;
        }
        machine::still_ours(&self.names, guest)
    }

    fn has_hostname(&self, guest: &Placement) -> bool {
        let root = Root::open(&self.names.folder(&guest.plan.name).root());
        let text = root.and_then(|root| root.read("etc/hostname", HOSTNAME_LIMIT));
        text.is_ok_and(|text| text.trim_ascii() == guest.plan.name.as_str().as_bytes())
    }

    fn write_hostname(&self, guest: &Placement) -> Result<(), Fault> {
        let path = self.names.folder(&guest.plan.name).root();
        let line = format!("{}\n", guest.plan.name);
        Root::open(&path)
            .and_then(|root| root.replace("etc", "hostname", line.as_bytes()))
            .map_err(|error| file_fault("write etc/hostname", &path, &error))
    }

    /// Where the guest's volumes are, in the order of the plan.
    pub(super) fn mount_folders(&self, guest: &Placement) -> Vec<PathBuf> {
        let folder = self.names.folder(&guest.plan.name);
        (0..guest.plan.mounts.len()).map(|index| folder.mount(index)).collect()
    }

    pub(super) fn cleanup_commands(&self, guest: &Placement) -> Vec<String> {
        let name = &guest.plan.name;
        let folder = self.names.folder(name).path;
        let mut commands = vec![format!("cat {}", quote(&folder.join("stamp.json")))];
        match self.keeper() {
            Ok(keeper) => commands.extend(keeper.manual(&machine::process(guest))),
            Err(fault) => commands.push(format!("# {fault}")),
        }
        commands.push(format!("ip -n {} link delete {}", self.names.fabric(), self.names.cable(name)));
        commands.push(format!("ip netns delete {}", self.names.guest(name)));
        commands.push(format!("rm -rf --one-file-system {}", quote(&folder)));
        commands
    }
}

/// For a shell.
fn quote(path: &std::path::Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if text.chars().all(plain) { text.into_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
