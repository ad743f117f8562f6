//! Running guests, seen from outside, and guests that are not what they seem.

pub mod bare;
mod boot;
pub mod fake;
pub mod machine;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::run::{self, Ran};
use crate::wait;
pub use boot::{Boot, Plug};

/// A guest's first process, found by its root folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leader(pub i32);

impl Leader {
    /// The leader of the guest that systemd-nspawn runs on this root, if it runs.
    pub fn of(root: &Path) -> Option<Self> {
        let root = root.to_string_lossy();
        let nspawn = processes().find(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            line.contains("systemd-nspawn")
                && line.split('\0').any(|word| word.ends_with(&*root))
                && comm(*pid).as_deref() == Some("systemd-nspawn")
        })?;
        processes()
            .find(|pid| {
                let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
                field(&status, "PPid:") == Some(&nspawn.to_string())
                    && field(&status, "NSpid:").is_some_and(|ids| ids.split_whitespace().nth(1) == Some("1"))
            })
            .map(Self)
    }

    /// Waits for the guest.
    pub fn wait_for(root: &Path) -> Result<Self> {
        wait::until(&format!("a guest on {}", root.display()), Duration::from_secs(30), || Self::of(root))
    }

    pub fn alive(self) -> bool {
        Path::new(&format!("/proc/{}", self.0)).exists()
    }

    /// A command in the guest, by an absolute path of the guest.
    pub fn command(self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.0.to_string(), "-m", "-p", "-u", "-i", "-n"]);
        let users = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/user")).ok();
        if users(&self.0.to_string()) != users("self") {
            command.arg("-U"); // its systemd takes no word from nobody
        }
        command.arg("--").args(words);
        command
    }

    pub fn run(self, words: &[&str]) -> Result<Ran> {
        run::run(&mut self.command(words))
    }

    /// What `systemctl is-active` says of a unit.
    pub fn unit_state(self, unit: &str) -> Result<String> {
        Ok(self.run(&["/usr/bin/systemctl", "is-active", unit])?.stdout.trim().to_owned())
    }

    /// The state of a unit that is no longer on its way: a failing one is tried a few times before it is `failed`.
    pub fn final_unit_state(self, unit: &str) -> Result<String> {
        wait::until(&format!("{unit} to be settled"), Duration::from_secs(60), || {
            self.unit_state(unit).ok().filter(|state| {
                !matches!(state.as_str(), "activating" | "deactivating" | "reloading" | "refreshing")
            })
        })
    }

    /// Waits until the guest's systemd has no more jobs, and gives its state: `running`, `degraded`, ...
    pub fn settled(self) -> Result<String> {
        wait::until("the guest's systemd", Duration::from_secs(120), || {
            let state = self.run(&["/usr/bin/systemctl", "is-system-running"]).ok()?.stdout.trim().to_owned();
            matches!(state.as_str(), "running" | "degraded" | "maintenance").then_some(state)
        })
    }
}

fn processes() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn comm(pid: i32) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim().to_owned())
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}
