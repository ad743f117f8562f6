//! `cargo xtask demo`: the main job in one command, on real input.

mod cluster;
mod incus;
mod stop;
mod table;
mod verdict;

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::args::{DemoArguments, DemoBackend};
use crate::golden::{self, Variant};
use crate::rig::incus::GOLDEN;
use crate::rig::{Companion, leftovers, terminate};
use crate::simpve::example::CONTAINER_GOLDEN;
use crate::{build, packages, paths, ports, run, wait};
use cluster::Cluster;
use stop::Stop;
pub use table::{COLUMNS, render};
pub use verdict::shared_identities;

/// Ended by Ctrl-C or SIGTERM, after cleaning up.
const INTERRUPTED: u8 = 130;

/// What one demo works with.
#[derive(Debug)]
struct Demo {
    program: PathBuf,
    state: PathBuf,
    backend: DemoBackend,
    /// With the backend that needs one.
    hypervisor: Option<Hypervisor>,
}

/// What lives as long as the demo.
#[derive(Debug)]
enum Hypervisor {
    Simulated(Box<Cluster>),
    Incus(incus::Server),
}

impl Hypervisor {
    fn start(backend: DemoBackend, state: &Path, golden: &Path, port: u16) -> Result<Option<Self>> {
        Ok(match backend {
            DemoBackend::Local => None,
            DemoBackend::ProxmoxSim => {
                let cluster = Cluster::start(state, golden)?;
                cluster.configure(state, port)?;
                Some(Self::Simulated(Box::new(cluster)))
            }
            DemoBackend::Incus => {
                let server = incus::Server::start(golden)?;
                server.configure(state, port)?;
                Some(Self::Incus(server))
            }
        })
    }

    fn diagnosis(&self) -> String {
        match self {
            Self::Simulated(cluster) => cluster.diagnosis(),
            Self::Incus(server) => server.diagnosis(),
        }
    }

    fn end(self) -> Result<()> {
        match self {
            Self::Simulated(cluster) => cluster.end(),
            Self::Incus(server) => server.end(),
        }
    }
}

pub fn run(arguments: &DemoArguments) -> Result<ExitCode> {
    ensure!(nix::unistd::geteuid().is_root(), "the demo runs real guests: run it as root");
    let stop = Stop::listen()?;
    // A Ctrl-C reaches the tools that are at work, too: their failure is its doing.
    let interrupted = ExitCode::from(INTERRUPTED);
    let (programs, golden) = match prepare(arguments.backend) {
        Err(_) if stop.asked() => return Ok(interrupted),
        prepared => prepared?,
    };
    let state = arguments.state.clone().unwrap_or_else(|| default_state(arguments.backend));
    let mut demo = Demo { program: programs.companion, state, backend: arguments.backend, hypervisor: None };
    demo.clean()?;
    if stop.asked() {
        return Ok(interrupted);
    }

    let companion = match demo.start(&golden) {
        Err(_) if stop.asked() => return demo.end_hypervisor().map(|()| interrupted),
        started => started?,
    };
    fs::write(demo.pid_file(), companion.pid().to_string())?;
    let outcome = demo.bring_up(&golden, arguments, &stop);
    if arguments.keep && matches!(&outcome, Ok(Some(_))) {
        demo.tell_how_to_go_on(&golden, outcome.as_ref().ok().and_then(Option::as_ref));
        if demo.hypervisor.is_none() {
            return Ok(ExitCode::SUCCESS);
        }
        stop.wait();
    } else if stop.asked() {
        eprintln!("interrupted: cleaning up");
    }
    if let (Err(_), Some(hypervisor)) = (&outcome, &demo.hypervisor) {
        eprintln!("{}", hypervisor.diagnosis());
    }
    let destroyed = demo.destroy();
    let stopped = companion.stop();
    let ended = demo.end_hypervisor();
    let left = leftovers::find(&demo.state);
    let _ = fs::remove_file(demo.pid_file());
    destroyed
        .and(stopped)
        .and(ended)
        .with_context(|| format!("cleaning up failed; left behind: {left:?}"))?;
    ensure!(left.is_empty(), "left behind:\n{}", left.join("\n"));
    match outcome? {
        Some(_) => Ok(ExitCode::SUCCESS),
        None => Ok(interrupted),
    }
}

/// What a demo needs: tools, programs, golden.
fn prepare(backend: DemoBackend) -> Result<(build::Programs, PathBuf)> {
    packages::ensure(packages::GUESTS)?;
    let programs = build::programs(false)?;
    let variant = match backend {
        DemoBackend::Local => Variant::Agent,
        DemoBackend::ProxmoxSim | DemoBackend::Incus => Variant::Dhcp,
    };
    if backend == DemoBackend::Incus {
        packages::ensure_incus()?;
    }
    let goldens = golden::ensure(&programs.guest, &[variant])?;
    Ok((programs, golden::archive(&goldens, variant)))
}

/// Removes what `demo --keep` left.
pub fn clean(state: Option<PathBuf>) -> Result<()> {
    let program = paths::target().join("debug/firstlight");
    let backend = DemoBackend::Local;
    let state = state.unwrap_or_else(|| default_state(backend));
    Demo { program, state, backend, hypervisor: None }.clean()
}

fn default_state(backend: DemoBackend) -> PathBuf {
    paths::scratch().join(match backend {
        DemoBackend::Local => "demo",
        DemoBackend::ProxmoxSim => "demo-proxmox-sim",
        DemoBackend::Incus => "demo-incus",
    })
}

impl Demo {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).env("FIRSTLIGHT_STATE", &self.state).stdin(Stdio::null());
        command
    }

    /// The companion, and before it the hypervisor, if it is not this machine itself.
    fn start(&mut self, golden: &Path) -> Result<Companion> {
        fs::create_dir_all(&self.state)
            .with_context(|| format!("{} cannot be made", self.state.display()))?;
        let port = ports::free();
        self.hypervisor = Hypervisor::start(self.backend, &self.state, golden, port)?;
        // Guests of the others come from a network of their own.
        let listen = if self.hypervisor.is_some() { [0, 0, 0, 0] } else { [127, 0, 0, 1] };
        Companion::start(&self.program, &self.state, (listen, port).into())
    }

    fn end_hypervisor(&mut self) -> Result<()> {
        let Some(hypervisor) = self.hypervisor.take() else { return Ok(()) };
        cluster::forget(&self.state);
        hypervisor.end()
    }

    fn pid_file(&self) -> PathBuf {
        self.state.with_extension("companion.pid")
    }

    /// Ends an earlier demo that was kept, or was killed before it could clean up.
    fn clean(&self) -> Result<()> {
        if !self.state.exists() {
            return Ok(());
        }
        // Another hypervisor ends with its demo, and its guests with it.
        if self.backend == DemoBackend::Local && !leftovers::find(&self.state).is_empty() {
            eprintln!("removing the guests of an earlier demo");
            let companion = match self.earlier_companion() {
                Some(_) => None,
                None => Some(Companion::start(&self.program, &self.state, ports::free_address())?),
            };
            self.destroy()?;
            companion.map_or(Ok(()), Companion::stop)?;
        }
        if let Some(pid) = self.earlier_companion() {
            terminate(pid);
            let process = PathBuf::from(format!("/proc/{pid}"));
            wait::until("the earlier companion to stop", Duration::from_secs(30), || {
                (!process.exists()).then_some(())
            })?;
        }
        if self.backend != DemoBackend::Local {
            cluster::forget(&self.state);
        }
        let left = leftovers::find(&self.state);
        ensure!(left.is_empty(), "an earlier demo left behind:\n{}", left.join("\n"));
        fs::remove_dir_all(&self.state).with_context(|| format!("{} cannot be removed", self.state.display()))
    }

    /// The companion of an earlier demo, if it still runs: the pid alone may be another program's by now.
    fn earlier_companion(&self) -> Option<u32> {
        let pid = fs::read_to_string(self.pid_file()).ok()?.trim().parse().ok()?;
        let program = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
        program
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("firstlight"))
            .then_some(pid)
    }

    /// The document, or nothing if it was interrupted.
    fn bring_up(&self, golden: &Path, arguments: &DemoArguments, stop: &Stop) -> Result<Option<Value>> {
        let spec = self.state.join("demo.toml");
        fs::write(&spec, spec_text(self.backend, golden, arguments.count))?;
        eprintln!("bringing up {} clones of {}", arguments.count, golden.display());
        let mut up = self.command(&["up", &spec.to_string_lossy(), "--json"]);
        up.process_group(0).stdout(Stdio::piped());
        let mut child =
            up.spawn().with_context(|| format!("{} cannot be started", self.program.display()))?;
        let mut output = child.stdout.take().context("standard output was asked for")?;
        let reader = thread::spawn(move || std::io::read_to_string(&mut output));
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if stop.asked() {
                terminate(child.id());
                let ended =
                    wait::until("`up` to end", Duration::from_secs(10), || child.try_wait().ok().flatten());
                if ended.is_err() {
                    child.kill()?;
                    child.wait()?;
                }
                return Ok(None);
            }
            thread::sleep(Duration::from_millis(20));
        };
        // A signal that came between the fork and the child's own group ended `up` as well.
        if stop.asked() {
            return Ok(None);
        }
        let text = reader.join().map_err(|_| anyhow::anyhow!("the reader of `up` died"))??;
        let document: Value =
            serde_json::from_str(&text).with_context(|| format!("`up` ({status}) printed no document"))?;
        show(&document, &text, arguments.json)?;
        judge(&document, arguments.count)?;
        ensure!(status.success(), "`up` ended with {status}");
        Ok(Some(document))
    }

    fn destroy(&self) -> Result<()> {
        let mut last = String::new();
        wait::until("`destroy --all` to succeed", Duration::from_secs(60), || {
            let ran = run::run(&mut self.command(&["destroy", "--all"])).ok()?;
            last = ran.said();
            ran.ok().then_some(())
        })
        .context(last)
    }

    fn tell_how_to_go_on(&self, golden: &Path, document: Option<&Value>) {
        let firstlight = format!("{} --state {}", self.program.display(), self.state.display());
        eprintln!(
            "kept. Look:     {firstlight} reports\n               {firstlight} known-hosts > known_hosts"
        );
        let address =
            document.and_then(|document| document["guests"][0]["addresses"][0].as_str()).unwrap_or("ADDRESS");
        let within = match self.backend {
            DemoBackend::Local => format!("ip netns exec fl-{} ", leftovers::tag(&self.state)),
            DemoBackend::ProxmoxSim | DemoBackend::Incus => String::new(),
        };
        eprintln!(
            "Log in:         {within}ssh -i {} -o UserKnownHostsFile=known_hosts root@{address}",
            golden.with_file_name(golden::LOGIN_KEY).display(),
        );
        match self.backend {
            DemoBackend::Local => {
                eprintln!("Remove it all:  cargo xtask clean --state {}", self.state.display());
            }
            DemoBackend::ProxmoxSim | DemoBackend::Incus => eprintln!("Remove it all:  Ctrl-C"),
        }
    }
}

fn spec_text(backend: DemoBackend, golden: &Path, count: u32) -> String {
    let (backend, golden) = match backend {
        DemoBackend::Local => ("local", golden.to_string_lossy().into_owned()),
        DemoBackend::ProxmoxSim => ("proxmox", CONTAINER_GOLDEN.to_owned()),
        DemoBackend::Incus => ("incus", GOLDEN.to_owned()),
    };
    format!(
        "[[guest]]\nname = \"web-{{n}}\"\ncount = {count}\nbackend = \"{backend}\"\ngolden = \"{golden}\"\n\n\
         [guest.readiness]\ntimeout = \"180s\"\nrequire = [\"system-running\"]\n"
    )
}

fn show(document: &Value, text: &str, json: bool) -> Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    if json { writeln!(out, "{}", text.trim_end()) } else { write!(out, "{}", render(document)) }
        .context("standard output cannot be written")
}

/// Trusts nobody's summary: counts the guests and compares every identity itself.
fn judge(document: &Value, count: u32) -> Result<()> {
    let guests = document["guests"].as_array().context("the document lists no guests")?;
    ensure!(
        guests.len() == usize::try_from(count)?,
        "{} guests were wanted, {} are listed",
        count,
        guests.len()
    );
    for guest in guests {
        if guest["state"] != "done" {
            let message = guest["failure"]["message"].as_str().unwrap_or("no reason is given");
            bail!("{} is {}, not ready: {message}", guest["name"], guest["state"]);
        }
    }
    let shared = shared_identities(document);
    ensure!(shared.is_empty(), "identities are shared:\n{}", shared.join("\n"));
    Ok(())
}
