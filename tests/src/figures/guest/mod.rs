//! `cargo xtask bench guest`: what the guest agent costs, in real guests, beside its peers and in turns with them.
//!
//! A first boot is had again by forgetting keys and stamp; the peers are `ssh-keygen -A`, `/bin/true` as a unit of the
//! same options, cloud-init in the same boots, its `phone_home`, and an image with stock keys.

mod boot;
mod home;
mod process;
mod unit;

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use super::Table;
use crate::golden::{self, Variant};
use crate::guest::{Leader, bare};
use crate::{build, packages};
use process::Spent;

const AGENT: &str = "/usr/bin/firstlight-guest";
const FORGET: &str = "rm -rf /etc/ssh/ssh_host_* /var/lib/firstlight /run/firstlight; sync -f /etc";
/// cloud-init boots slowly, and its share hardly varies.
const CLOUD_BOOTS: usize = 5;
/// At most; each is six boots, two of them cloud-init's.
const HOME_BOOTS: usize = 9;
/// For `--only`.
const PARTS: [&str; 4] = ["processes", "ssh", "stages", "home"];

/// How often things are done; both orders of magnitude matter more than the last digit.
#[derive(Debug, Clone, Copy)]
pub struct Runs {
    pub processes: usize,
    pub boots: usize,
}

/// Only these parts; none: all.
///
/// # Errors
/// Not root, a tool is missing, there is no such part, or a guest did not do what is measured.
pub fn guest(runs: Runs, only: &[String]) -> Result<()> {
    ensure!(nix::unistd::geteuid().is_root(), "the figures need real guests: run this as root");
    ensure!(runs.processes > 0 && runs.boots > 0, "nothing is measured by no runs");
    let unknown = only.iter().find(|part| !PARTS.contains(&part.as_str()));
    ensure!(unknown.is_none(), "`--only` takes {} here, not {}", PARTS.join(", "), only.join(", "));
    let wanted = |part: &str| only.is_empty() || only.iter().any(|one| one == part);
    packages::ensure(packages::GUESTS)?;
    let program = build::guest()?;
    let golden = |variants: &[Variant]| golden::ensure(&program, variants);
    let mut table = Table::default();
    if wanted("processes") {
        let size = fs::metadata(&program)?.len();
        table.bytes("stripped static binary", size, 4.0);
        processes(&golden(&[Variant::Silent])?, runs.processes, &mut table)?;
    }
    if wanted("ssh") {
        let ssh = boot::until_ssh(&golden(&[Variant::Agent, Variant::Stock])?, runs.boots)?;
        table.ratio("until ssh answers", &ssh.ours, ("an image with stock keys", &ssh.floor), 1.10);
    }
    if wanted("stages") {
        let cloud = boot::beside_cloud_init(&golden(&[Variant::Cloud])?, CLOUD_BOOTS)?;
        table.ratio(
            "identity unit",
            &cloud.ours,
            ("cloud-init's stages before sshd, in the same boots", &cloud.floor),
            0.02,
        );
    }
    if wanted("home") {
        home::measure(&golden(&[Variant::Cloud])?, runs.boots.min(HOME_BOOTS), &mut table)?;
    }
    table.print();
    Ok(())
}

#[derive(Debug, Default)]
struct Series {
    first: Vec<Spent>,
    cold: Vec<Spent>,
    later: Vec<Spent>,
    keys: Vec<Spent>,
    ssh_keygen: Vec<Spent>,
    /// Of this machine, which may have another OpenSSL.
    ssh_keygen_here: Vec<Spent>,
    unit: Vec<Duration>,
    unit_of_true: Vec<Duration>,
}

fn processes(goldens: &Path, count: usize, table: &mut Table) -> Result<()> {
    let root = bare::Root::unpack(&golden::archive(goldens, Variant::Silent))?;
    unit::prepare(&root.path())?;
    let binary = root.path().join(&AGENT[1..]);
    let booted = root.boot("bench")?;
    let (guest, _) = booted.settled()?;
    // The unpacked root goes to the disk now, not under the first fsync that is timed.
    nix::unistd::sync();
    let mut series = Series::default();
    // The first round warms the page cache and is not counted.
    for run in 0..=count {
        let mut round = Series::default();
        one_round(guest, &binary, &mut round)?;
        if run > 0 {
            series.first.append(&mut round.first);
            series.cold.append(&mut round.cold);
            series.later.append(&mut round.later);
            series.keys.append(&mut round.keys);
            series.ssh_keygen.append(&mut round.ssh_keygen);
            series.ssh_keygen_here.append(&mut round.ssh_keygen_here);
            series.unit.append(&mut round.unit);
            series.unit_of_true.append(&mut round.unit_of_true);
        }
    }
    series.add_to(table);

    forget(guest)?;
    process::run(guest, &[AGENT, "identity"])?;
    let report = process::run(guest, &[AGENT, "report", "--again"])?;
    table.bytes("peak memory: report, with an RSA key to make", report.peak, 5.0);
    Ok(())
}

fn one_round(guest: Leader, binary: &Path, round: &mut Series) -> Result<()> {
    forget(guest)?;
    round.first.push(process::run(guest, &[AGENT, "identity"])?);
    round.later.push(process::run(guest, &[AGENT, "identity"])?);
    forget(guest)?;
    evict(binary)?;
    round.cold.push(process::run(guest, &[AGENT, "identity"])?);
    forget(guest)?;
    round.keys.push(process::run(guest, &[AGENT, "keys"])?);
    forget(guest)?;
    round.ssh_keygen.push(process::run(guest, &["/usr/bin/ssh-keygen", "-A"])?);
    round.ssh_keygen_here.push(ssh_keygen_here()?);
    forget(guest)?;
    round.unit.push(unit::start(guest, unit::OURS)?);
    round.unit_of_true.push(unit::start(guest, unit::TRUE)?);
    Ok(())
}

impl Series {
    fn add_to(&self, table: &mut Table) {
        let wall = |spent: &[Spent]| spent.iter().map(|spent| spent.wall).collect::<Vec<_>>();
        let cpu = |spent: &[Spent]| spent.iter().map(|spent| spent.cpu).collect::<Vec<_>>();
        let peak = |spent: &[Spent]| spent.iter().map(|spent| spent.peak).max().unwrap_or_default();
        let (keygen, keygen_here) = ("`ssh-keygen -A` of the guest", "`ssh-keygen -A` of this machine");
        table.time("identity, first boot, exec to exit, warm", &wall(&self.first), 15.0);
        table.time("identity, first boot, exec to exit, cold", &wall(&self.cold), 20.0);
        table.time("identity, later boots, exec to exit", &wall(&self.later), 3.0);
        table.difference("identity as a unit", &self.unit, ("`/bin/true` as one", &self.unit_of_true), 15.0);
        let (ours, theirs) = (wall(&self.keys), wall(&self.ssh_keygen));
        table.ratio("three keys: wall", &ours, (keygen, &theirs), 0.5);
        let (ours, theirs) = (cpu(&self.keys), cpu(&self.ssh_keygen));
        table.ratio("three keys: processor", &ours, (keygen, &theirs), 0.7);
        let (ours, theirs) = (wall(&self.keys), wall(&self.ssh_keygen_here));
        table.ratio("three keys: wall", &ours, (keygen_here, &theirs), 0.5);
        let (ours, theirs) = (cpu(&self.keys), cpu(&self.ssh_keygen_here));
        table.ratio("three keys: processor", &ours, (keygen_here, &theirs), 0.7);
        table.bytes("peak memory: identity, first boot", peak(&self.first), 5.0);
        table.bytes("peak memory: identity, later boots", peak(&self.later), 5.0);
        table.bytes("peak memory: keys", peak(&self.keys), 5.0);
    }
}

fn ssh_keygen_here() -> Result<Spent> {
    let folder = tempfile::tempdir()?;
    fs::create_dir_all(folder.path().join("etc/ssh"))?;
    process::run_here(Command::new("ssh-keygen").arg("-A").arg("-f").arg(folder.path()).stdout(Stdio::null()))
}

fn forget(guest: Leader) -> Result<()> {
    let ran = guest.run(&["/bin/sh", "-c", FORGET])?;
    ensure!(ran.ok(), "keys and stamp cannot be removed: {}", ran.said());
    Ok(())
}

/// Takes a program's pages out of the page cache.
fn evict(program: &Path) -> Result<()> {
    let file = File::open(program).context("the agent is not in the golden")?;
    file.sync_all()?;
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    Ok(())
}
