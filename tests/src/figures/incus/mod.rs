//! `cargo xtask bench incus`: the same guests, brought up by the companion and by the script that people write, on one real
//! server, in turn; and how soon the companion knows of a guest that says Ready, beside `incus wait`.

mod monitor;
mod peer;
mod reaction;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::Value;
use tempfile::TempDir;

use self::monitor::Monitor;
use self::reaction::Reactions;
use super::{Row, Table, median, milliseconds, spread};
use crate::golden::{self, LOGIN_KEY, Variant};
use crate::rig::Companion;
use crate::rig::incus::{GOLDEN, IncusServer};
use crate::{build, packages, ports, run};

const USUAL: usize = 20;
const RATIO: f64 = 1.05;
const REACTION: Duration = Duration::from_millis(20);
/// Of both: systemd runs with no failed unit, and root gets in over SSH. Of ours alone, for each guest:
const MORE: &str = "proved besides: a report signed by the guest's own host key, and read through the server; MAC, host name \
    and machine-id as they were chosen; no identity that another guest has; the checks of the agent";

/// So many rounds for each number of guests; who begins takes turns.
///
/// # Errors
/// Not root, a tool is missing, or a bring-up failed.
pub fn incus(guests: &[usize], rounds: usize, release: bool) -> Result<()> {
    ensure!(nix::unistd::geteuid().is_root(), "the figures need a real server: run this as root");
    ensure!(rounds > 0, "--rounds: at least one is wanted");
    packages::ensure_incus()?;
    let programs = build::programs(release)?;
    let goldens = golden::ensure(&programs.guest, &[Variant::Dhcp])?;
    let image = golden::archive(&goldens, Variant::Dhcp);
    let mut bench = Bench::start(&programs.companion, &image, goldens.join(LOGIN_KEY))?;
    let mut table = Table::default();
    bench.ours("first", 1)?; // warms the page cache, and is not counted
    bench.reactions = Reactions::default();
    for count in if guests.is_empty() { &[USUAL][..] } else { guests } {
        let (mut ours, mut script, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..rounds {
            eprintln!("{count} guests, round {} of {rounds}, load {}", round + 1, load()?);
            let name = |who: &str| format!("{who}-{count}-{round}");
            let (mine, theirs) = if round % 2 == 0 {
                let mine = bench.ours(&name("web"), *count)?;
                (mine, bench.script(&name("script"), *count)?)
            } else {
                let theirs = bench.script(&name("script"), *count)?;
                (bench.ours(&name("web"), *count)?, theirs)
            };
            ratios.push(mine.as_secs_f64() / theirs.as_secs_f64());
            ours.push(mine);
            script.push(theirs);
        }
        bench.waits(&format!("wait-{count}"), *count)?;
        ratios.sort_unstable_by(f64::total_cmp);
        let ratio = ratios.get(ratios.len() / 2).copied().unwrap_or_default();
        let (least, most) = (ratios.first().unwrap_or(&0.0), ratios.last().unwrap_or(&0.0));
        table.add(Row {
            figure: format!("{count} guests until verified ready"),
            ours: format!("{}: {ratio:.2} x ({least:.2} to {most:.2})", spread(&ours)),
            beside: format!(
                "script of `incus launch` and polls: {}; {rounds} rounds in turns; {MORE}",
                spread(&script)
            ),
            aim: format!("<= {RATIO} x").into(),
            met: Some(ratio <= RATIO),
        });
    }
    bench.add_reactions(&mut table);
    table.print();
    eprintln!("load {} in the end", load()?);
    bench.end()
}

struct Bench {
    companion: Companion,
    monitor: Monitor,
    server: IncusServer,
    program: PathBuf,
    key: PathBuf,
    folder: TempDir,
    reactions: Reactions,
    waits: Vec<Duration>,
}

impl Bench {
    fn start(program: &Path, image: &Path, key: PathBuf) -> Result<Self> {
        let server = IncusServer::start(&[(GOLDEN, image)])?;
        let folder = tempfile::Builder::new().prefix("firstlight-bench-").tempdir()?;
        let (state, port) = (folder.path().join("state"), ports::free());
        fs::create_dir(&state)?;
        let text = format!(
            "[limits]\nnode = 20\nstorage = 20\n\
             [reports]\nurl = \"https://{}:{port}\"\n[incus]\nsocket = \"{}\"\n",
            server.gateway(),
            server.socket().display()
        );
        fs::write(state.with_extension("toml"), text)?;
        let companion = Companion::start(program, &state, ([0, 0, 0, 0], port).into())?;
        let monitor = Monitor::start(&server, folder.path().join("events"))?;
        let program = program.to_owned();
        let (reactions, waits) = (Reactions::default(), Vec::new());
        Ok(Self { companion, monitor, server, program, key, folder, reactions, waits })
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).env("FIRSTLIGHT_STATE", self.folder.path().join("state"));
        command
    }

    /// From the order to the last verified guest.
    fn ours(&mut self, name: &str, count: usize) -> Result<Duration> {
        let spec = self.folder.path().join("spec.toml");
        let text = format!(
            "[[guest]]\nname = \"{name}-{{n}}\"\ncount = {count}\nbackend = \"incus\"\ngolden = \"{GOLDEN}\"\n\
             [guest.readiness]\ntimeout = \"10m\"\nrequire = [\"system-running\", \"sshd\"]\n"
        );
        fs::write(&spec, text)?;
        let start = Instant::now();
        let said = run::must(self.command(&["up", "--json"]).arg(&spec))?;
        let took = start.elapsed();
        let document: Value = serde_json::from_str(&said)?;
        let guests = document["guests"].as_array().context("`up` lists guests")?;
        ensure!(guests.iter().all(|guest| guest["trust"] == "attested"), "not all are attested: {said}");
        self.reactions.take(guests, &self.monitor.ready(name)?);
        run::must(&mut self.command(&["destroy", "--all"]))?;
        Ok(took)
    }

    fn script(&self, name: &str, count: usize) -> Result<Duration> {
        let names = names(name, count);
        let mut script = run::command(["bash", "-c", include_str!("script.sh"), "script", GOLDEN]);
        script.env("INCUS_DIR", self.server.directory());
        script.env("INCUS_CONF", self.folder.path().join("client")).arg(&self.key).args(&names);
        let start = Instant::now();
        run::must(&mut script)?;
        let took = start.elapsed();
        self.delete(&names)?;
        Ok(took)
    }

    fn waits(&mut self, name: &str, count: usize) -> Result<()> {
        let names = names(name, count);
        let waits = peer::launch_and_wait(&self.server, &names)?;
        self.waits.append(&mut reaction::of_waits(&waits, &self.monitor.ready(name)?));
        self.delete(&names)
    }

    /// Side by side, as the companion does it: the next round shall not wait.
    fn delete(&self, names: &[String]) -> Result<()> {
        let delete = |name: &str| run::must(self.server.command().args(["delete", "--force", name]));
        side_by_side(names, delete).map(drop)
    }

    fn add_reactions(&mut self, table: &mut Table) {
        let Reactions { woken, taken, verified, before } = &mut self.reactions;
        table.add(Row {
            figure: format!("Ready until its job is woken (n={})", woken.len()),
            ours: late(woken),
            beside: format!(
                "`incus wait`, which polls every 5 s (n={}): {}",
                self.waits.len(),
                late(&mut self.waits)
            ),
            aim: format!("p50 <= {} ms", REACTION.as_millis()).into(),
            met: Some(median(woken) <= REACTION),
        });
        for (figure, times) in [
            ("job woken until the report is pulled, bound and taken", taken),
            ("Ready until the guest is verified", verified),
        ] {
            let beside = format!("{before} reports were bound before Ready");
            table.add(Row {
                figure: figure.to_owned(),
                ours: late(times),
                beside,
                aim: "".into(),
                met: None,
            });
        }
    }

    fn end(self) -> Result<()> {
        let Self { companion, server, monitor, .. } = self;
        companion.stop()?;
        drop(monitor);
        drop(server);
        Ok(())
    }
}

fn names(name: &str, count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("{name}-{number}")).collect()
}

/// Each on a thread of its own; the results in the order of the names, or the first that is none.
fn side_by_side<T: Send>(names: &[String], work: impl Fn(&str) -> Result<T> + Sync) -> Result<Vec<T>> {
    thread::scope(|scope| {
        let work = &work;
        let workers: Vec<_> = names.iter().map(|name| scope.spawn(move || work(name))).collect();
        let joined =
            workers.into_iter().map(|worker| worker.join().map_err(|_| anyhow!("a panic")).flatten());
        joined.collect()
    })
}

/// Of one, five and fifteen minutes: figures of a busy machine are its own.
fn load() -> Result<String> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').take(3).collect::<Vec<_>>().join(" "))
}

fn late(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let late = times.get(times.len() * 9 / 10).copied().unwrap_or_default();
    format!("p50 {:.1} ms, p90 {:.1} ms", milliseconds(median(times)), milliseconds(late))
}
