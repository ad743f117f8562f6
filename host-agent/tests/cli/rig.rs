//! A companion in this process, and the program that talks to it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use firstlight::backend::Backend;
use firstlight::config::{Sources, load};
use firstlight::daemon::{Companion, Purpose};
use firstlight_tests::ports::free_address;
use firstlight_tests::run::{Ran, without_variables};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use crate::hypervisor::Hypervisor;
use crate::hypervisor::backend::Paper;

pub(crate) struct Rig {
    pub(crate) hypervisor: Hypervisor,
    pub(crate) folder: TempDir,
    pub(crate) reports: SocketAddr,
    pub(crate) companion: Option<Companion>,
    /// Lines of TOML beside the usual ones.
    extra: String,
}

impl Rig {
    /// With a companion at work.
    pub(crate) async fn serving() -> Self {
        Self::serving_with("").await
    }

    pub(crate) async fn serving_with(extra: &str) -> Self {
        let mut rig = Self::idle();
        extra.clone_into(&mut rig.extra);
        rig.serve().await;
        rig
    }

    /// Without one.
    pub(crate) fn idle() -> Self {
        let folder = tempfile::Builder::new().prefix("firstlight-cli-").tempdir().unwrap();
        let reports = free_address();
        let hypervisor = Hypervisor::start(folder.path());
        hypervisor.change(|manner| manner.reports = vec![reports]);
        Self { hypervisor, folder, reports, companion: None, extra: String::new() }
    }

    /// Lines of TOML for the companion that is started next.
    pub(crate) fn configure(&mut self, extra: &str) {
        extra.clone_into(&mut self.extra);
    }

    pub(crate) fn config(&self) -> String {
        self.path("firstlight.toml").display().to_string()
    }

    /// Writes a configuration for the program itself.
    pub(crate) fn configure_file(&self, extra: &str) {
        std::fs::write(
            self.config(),
            format!("state = {:?}\n[reports]\nlisten = \"{}\"\n{extra}", self.state(), self.reports),
        )
        .unwrap();
    }

    pub(crate) async fn serve(&mut self) {
        let file = self.path("firstlight.toml");
        let text = format!(
            "state = {:?}\n[companion]\nname = \"one\"\nlease = \"5s\"\ngrace = \"1s\"\n\
             [reports]\nlisten = \"{reports}\"\nurl = \"https://{reports}\"\n{extra}",
            self.state(),
            reports = self.reports,
            extra = self.extra,
        );
        std::fs::write(&file, text).unwrap();
        let sources = Sources { file, file_is_named: true, host_name: "test".into(), ..Sources::default() };
        let settings = load(&sources).unwrap().settings;
        let paper = Paper {
            name: "local", // the name that specs may have
            socket: self.hypervisor.socket().to_owned(),
            companion: "one".to_owned(),
            url: format!("https://{}", self.reports),
        };
        let backends: Vec<Arc<dyn Backend>> = vec![Arc::new(paper)];
        self.companion = Some(Companion::start(&settings, Purpose::Serve, backends).await.unwrap());
    }

    pub(crate) async fn stop(&mut self) {
        if let Some(companion) = self.companion.take() {
            companion.stop().await;
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// A spec of these guests; its path.
    pub(crate) fn spec(&self, guests: &[&str], rest: &str) -> String {
        let golden = self.path("golden.tar");
        std::fs::write(&golden, "paper").unwrap();
        let entry = |guest: &&str| format!("[[guest]]\nname = \"{guest}\"\ngolden = {golden:?}\n{rest}\n");
        let path = self.path(&format!("{}.toml", guests.join("-")));
        std::fs::write(&path, guests.iter().map(entry).collect::<String>()).unwrap();
        path.display().to_string()
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = program(words);
        command.env("FIRSTLIGHT_STATE", self.state());
        command
    }

    pub(crate) async fn run(&self, words: &[&str]) -> Ran {
        run(self.command(words)).await
    }

    /// Starts the program, to be interrupted.
    pub(crate) fn start(&self, words: &[&str]) -> Running {
        let mut child = self.command(words).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Running { child, lines, said: Vec::new() }
    }

    /// The id of a guest's job.
    pub(crate) async fn job(&self, guest: &str) -> String {
        let shown = self.run(&["show", guest, "--json"]).await.ends_with(0).json();
        shown["job"]["job"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn await_state(&self, guest: &str, wanted: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let shown = self.run(&["show", guest, "--json"]).await;
            if shown.code == 0 && shown.json()["job"]["state"] == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "{guest} is not {wanted}: {shown:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// A run that has not ended.
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    said: Vec<String>,
}

impl Running {
    /// Waits until a line of talk has these words.
    pub(crate) async fn says(&mut self, words: &str) {
        let heard = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                let found = line.contains(words);
                self.said.push(line);
                if found {
                    return true;
                }
            }
            false
        };
        let heard = tokio::time::timeout(Duration::from_secs(30), heard).await;
        assert!(matches!(heard, Ok(true)), "it did not say `{words}`: {:#?}", self.said);
    }

    /// Ctrl-C.
    pub(crate) fn interrupt(&self) {
        let pid = self.child.id().expect("it runs");
        kill(Pid::from_raw(pid.try_into().unwrap()), Signal::SIGINT).unwrap();
    }

    pub(crate) async fn end(mut self) -> Ran {
        while let Ok(Some(line)) = self.lines.next_line().await {
            self.said.push(line);
        }
        let output = tokio::time::timeout(Duration::from_secs(30), self.child.wait_with_output()).await;
        let output = output.expect("it ends").unwrap();
        Ran { stderr: self.said.join("\n"), ..Ran::from(output) }
    }
}

/// The program, with nothing of this process's surroundings that it would heed.
pub(crate) fn program(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstlight"));
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    without_variables(command.as_std_mut());
    command
}

pub(crate) async fn run(mut command: Command) -> Ran {
    // As it was set up: `output` would read what a test does not want to be read.
    let child = command.spawn().unwrap();
    let output = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await;
    output.expect("it ends").unwrap().into()
}

/// Files below a folder, for what must not be left.
pub(crate) fn exists(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}
