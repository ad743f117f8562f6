//! The fabric's DHCP server (dnsmasq): it gives each guest the address that was chosen for it, and nothing else, so that
//! a golden that asks for its address gets the one that its namespace has already.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use firstlight_shared::ids::{GuestName, MacAddress};
use firstlight_shared::text::escape;

use super::keeper::{Keeper, View};
use super::names::{BRIDGE, GATEWAY, Names, netns_file};
use super::stamp::{create_private_folder, file_fault, write_private};
use super::{cgroup, logs};
use crate::outcome::Fault;

/// Name towards the keeper; no guest's name begins with a dot.
const NAME: &str = ".fabric";
const START_DEADLINE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone)]
pub(super) struct Dhcp {
    names: Names,
}

impl Dhcp {
    pub(super) fn new(names: &Names) -> Self {
        Self { names: names.clone() }
    }

    /// One file for each guest; dnsmasq watches the folder.
    fn hosts(&self) -> PathBuf {
        self.names.fabric_folder().join("hosts")
    }
    fn leases(&self) -> PathBuf {
        self.names.fabric_folder().join("leases")
    }
    fn log(&self) -> PathBuf {
        self.names.fabric_folder().join("dnsmasq.log")
    }

    /// Starts it unless it runs, and waits until it listens.
    pub(super) async fn ensure(&self, keeper: &Keeper) -> Result<(), Fault> {
        if keeper.runs(NAME).await? {
            return Ok(());
        }
        let folder = self.names.fabric_folder();
        create_private_folder(&self.hosts()).map_err(|error| file_fault("make a folder", &folder, &error))?;
        // What an earlier one said is of no use any more.
        let _ = fs::remove_file(self.log());
        let command = command(&netns_file(&self.names.fabric()), &self.hosts(), &self.leases());
        keeper.launch(NAME, View::Any, &command, &self.log()).await?;

        let deadline = Instant::now() + START_DEADLINE;
        loop {
            let cgroup = keeper.cgroup(NAME).await?;
            if cgroup.as_deref().is_some_and(listens) {
                return Ok(());
            }
            if !cgroup.as_deref().is_some_and(cgroup::populated) || Instant::now() > deadline {
                let said: Vec<String> =
                    logs::tail(&self.log(), 5).iter().map(|line| escape(line, 200)).collect();
                return Err(Fault::new(
                    "dhcp-not-started",
                    format!("dnsmasq does not start: {}", said.join(" / ")),
                ));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(super) async fn stop(&self, keeper: &Keeper) -> Result<(), Fault> {
        keeper.end(NAME).await
    }

    /// Reserves the guest's address.
    pub(super) fn reserve(&self, name: &GuestName, mac: MacAddress, address: IpAddr) -> Result<(), Fault> {
        let file = self.hosts().join(name.as_str());
        let line = format!("{mac},{address},{name},infinite\n");
        if fs::read_to_string(&file).is_ok_and(|present| present == line) {
            return Ok(());
        }
        // Written beside the watched folder and moved in, so that no half-written line is ever read.
        let new = self.names.fabric_folder().join("new-host");
        write_private(&new, line.as_bytes())
            .and_then(|()| fs::rename(&new, &file))
            .map_err(|error| file_fault("reserve an address", &file, &error))
    }

    /// Frees it, and tells which it was. dnsmasq does not notice removed files and keeps leases: it is started anew, which
    /// takes a few ms.
    pub(super) async fn free(&self, keeper: &Keeper, name: &GuestName) -> Result<Option<IpAddr>, Fault> {
        let file = self.hosts().join(name.as_str());
        let Ok(line) = fs::read_to_string(&file) else { return Ok(None) };
        let running = keeper.runs(NAME).await?;
        self.stop(keeper).await?;
        let address = line.split(',').nth(1).unwrap_or_default();
        self.forget_lease(address).map_err(|error| file_fault("forget a lease", &self.leases(), &error))?;
        // Last: with this file gone, a repeated call has nothing to do.
        fs::remove_file(&file).map_err(|error| file_fault("free an address", &file, &error))?;
        if running {
            self.ensure(keeper).await?;
        }
        Ok(address.parse().ok())
    }

    fn forget_lease(&self, address: &str) -> io::Result<()> {
        match fs::read_to_string(self.leases()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(leases) => {
                let kept = without_address(&leases, address);
                if kept == leases { Ok(()) } else { write_private(&self.leases(), kept.as_bytes()) }
            }
        }
    }
}

/// Lines of dnsmasq's lease file: expiry, MAC, address, name, client id.
fn without_address(leases: &str, address: &str) -> String {
    leases
        .lines()
        .filter(|line| line.split(' ').nth(2) != Some(address))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// Whether a process in the cgroup sees a UDP socket at the DHCP server's port (67 = 0x43).
fn listens(cgroup: &Path) -> bool {
    cgroup::processes(cgroup).iter().any(|pid| {
        let table = fs::read_to_string(format!("/proc/{pid}/net/udp")).unwrap_or_default();
        table.lines().any(|line| line.split_whitespace().nth(1).is_some_and(|local| local.ends_with(":0043")))
    })
}

fn command(namespace: &Path, hosts: &Path, leases: &Path) -> Vec<OsString> {
    let joined = |option: &str, value: &Path| {
        let mut word = OsString::from(option);
        word.push(value);
        word
    };
    let mut line: Vec<OsString> = vec!["nsenter".into(), joined("--net=", namespace)];
    line.extend(
        [
            "dnsmasq",
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--log-facility=-",
            "--quiet-dhcp",
            "--pid-file=",
            // It keeps root: it must read folders that are closed to others.
            "--user=root",
            "--group=root",
            "--port=0",
            "--no-resolv",
            "--no-hosts",
            "--no-ping",
            "--bind-interfaces",
            "--except-interface=lo",
            "--dhcp-authoritative",
        ]
        .map(OsString::from),
    );
    line.push(format!("--interface={BRIDGE}").into());
    // `static`: nobody gets an address that was not reserved.
    line.push("--dhcp-range=10.77.0.0,static,255.255.255.0,infinite".into());
    line.push(format!("--dhcp-option=option:router,{GATEWAY}").into());
    line.push(joined("--dhcp-hostsdir=", hosts));
    line.push(joined("--dhcp-leasefile=", leases));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_address_asked_for_is_forgotten() {
        let leases = "0 02:f1:57:00:00:01 10.77.0.1 a ff\n0 02:f1:57:00:00:02 10.77.0.10 b ff\n";
        assert_eq!(without_address(leases, "10.77.0.1"), "0 02:f1:57:00:00:02 10.77.0.10 b ff\n");
        assert_eq!(without_address(leases, ""), leases);
    }

    #[test]
    fn serves_no_names_and_no_strangers() {
        let line = command(Path::new("/run/netns/x"), Path::new("/s/hosts"), Path::new("/s/leases"));
        for wanted in ["--net=/run/netns/x", "--port=0", "--interface=flbr0", "--dhcp-hostsdir=/s/hosts"] {
            assert!(line.iter().any(|word| word == wanted), "{wanted}");
        }
    }
}
