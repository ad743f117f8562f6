//! A companion and a project of a test's own on a real server. Names of guests are a test's own, too: on a network that
//! several projects share, Incus starts no second instance of a name.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use firstlight_tests::rig::incus::IncusServer;
use firstlight_tests::rig::{Companion, leftovers, ssh};
use firstlight_tests::run::{self, Ran};
use firstlight_tests::{paths, ports, wait};
use serde_json::Value;
use tempfile::TempDir;

#[derive(Debug)]
pub(crate) struct Site<'a> {
    // In the order of their ends.
    companion: Daemon,
    pub(super) server: &'a IncusServer,
    pub(super) project: String,
    before: Value,
    port: u16,
    folder: TempDir,
}

impl Site<'static> {
    /// On the server that tests share.
    pub(super) fn start(project: &str) -> Self {
        Self::on(IncusServer::shared(), project, &[])
    }
}

impl<'a> Site<'a> {
    /// `settings` are the project's.
    pub(crate) fn on(server: &'a IncusServer, project: &str, settings: &[&str]) -> Self {
        let mut site = Self::without_companion(server, project, settings);
        site.serve(&site.by_socket());
        site
    }

    pub(super) fn without_companion(server: &'a IncusServer, project: &str, settings: &[&str]) -> Self {
        server.project(project, settings).unwrap();
        let folder = tempfile::Builder::new().prefix("firstlight-site-").tempdir().unwrap();
        fs::create_dir(folder.path().join("state")).unwrap();
        let before = server.inventory(project).unwrap();
        let (companion, project) = (Daemon(None), project.to_owned());
        Self { companion, server, project, before, port: ports::free(), folder }
    }

    /// What the companion is told where it speaks over the server's socket.
    pub(super) fn by_socket(&self) -> String {
        self.by_socket_at(&self.server.socket())
    }

    /// The same with somebody in between.
    pub(super) fn by_socket_at(&self, socket: &Path) -> String {
        format!("[incus]\nsocket = \"{}\"\nproject = \"{}\"\n", socket.display(), self.project)
    }

    /// Starts the companion with this configuration; guests report to it over their network.
    pub(super) fn serve(&mut self, configuration: &str) {
        // One that runs has the port.
        self.companion = Daemon(None);
        let reports = format!("[reports]\nurl = \"https://{}:{}\"\n", self.server.gateway(), self.port);
        fs::write(self.configuration(), reports + configuration).unwrap();
        self.serve_again();
    }

    /// As it was told the last time.
    pub(super) fn serve_again(&mut self) {
        let program = paths::given(paths::COMPANION_VARIABLE);
        let companion = Companion::start(&program, &self.state(), ([0, 0, 0, 0], self.port).into()).unwrap();
        self.companion = Daemon(Some(companion));
    }

    /// SIGKILL: nothing is said and nothing is put in order.
    pub(super) fn kill_companion(&mut self) {
        self.companion.0.take().expect("a companion runs").kill();
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The companion's, once it was served.
    pub(super) fn configuration(&self) -> PathBuf {
        self.state().with_extension("toml")
    }

    pub(super) fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// Where guests reach the companion.
    pub(super) fn reports(&self) -> String {
        format!("{}:{}", self.server.gateway(), self.port)
    }

    pub(super) fn run(&self, words: &[&str]) -> Ran {
        run::run(&mut self.command(words)).unwrap()
    }

    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = run::command(["sh", "-c", r#"exec "$0" "$@""#]);
        command.arg(paths::given(paths::COMPANION_VARIABLE)).args(words);
        command.env("FIRSTLIGHT_STATE", self.state());
        command
    }

    /// The document of a command, whatever its exit code.
    pub(super) fn json(&self, words: &[&str]) -> Value {
        let ran = self.run(words);
        serde_json::from_str(&ran.stdout)
            .unwrap_or_else(|error| panic!("{words:?} printed no JSON ({error}): {}", ran.said()))
    }

    /// A spec of one `[[guest]]` with these lines besides.
    pub(super) fn spec(&self, name: &str, golden: &str, more: &str) -> String {
        let path = self.path(&format!("{}.toml", name.replace(['{', '}'], "_")));
        let text = format!(
            "[[guest]]\nname = \"{name}\"\nbackend = \"incus\"\ngolden = \"{golden}\"\nproject = \"{}\"\n{more}\n",
            self.project
        );
        fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    }

    /// Brings guests up, which must all become ready and be attested; the document that `up` prints.
    pub(crate) fn up(&self, name: &str, golden: &str, more: &str) -> Value {
        self.up_of(&self.spec(name, golden, more))
    }

    /// The same of a spec that is written.
    pub(super) fn up_of(&self, spec: &str) -> Value {
        let ran = self.run(&["up", spec, "--json"]);
        assert!(ran.ok(), "up failed: {}\n{}", ran.said(), self.said());
        let document: Value = serde_json::from_str(&ran.stdout).unwrap();
        for guest in document["guests"].as_array().unwrap() {
            assert_eq!((&guest["state"], &guest["trust"]), (&"done".into(), &"attested".into()), "{guest:#}");
        }
        document
    }

    /// Brings one up that cannot become ready; the document's guest.
    pub(super) fn up_in_vain(&self, name: &str, golden: &str, more: &str) -> Value {
        let ran = self.run(&["up", &self.spec(name, golden, more), "--json"]);
        assert_eq!(ran.code, 1, "{}\n{}", ran.said(), self.said());
        let document: Value = serde_json::from_str(&ran.stdout).unwrap();
        document["guests"][0].clone()
    }

    /// `up` refuses before it makes anything; what it says.
    pub(super) fn refused(&self, name: &str, golden: &str, more: &str) -> String {
        let ran = self.run(&["up", &self.spec(name, golden, more)]);
        assert_eq!(ran.code, 3, "{}\n{}", ran.said(), self.said());
        ran.stderr
    }

    pub(crate) fn destroy(&self, names: &[&str]) {
        let words: Vec<&str> = ["destroy"].iter().chain(names).copied().collect();
        let ran = self.run(&words);
        assert!(ran.ok(), "{}\n{}", ran.said(), self.said());
    }

    /// `incus` in this project; what it prints.
    pub(super) fn incus(&self, words: &[&str]) -> String {
        let all: Vec<&str> = ["--project", &self.project].into_iter().chain(words.iter().copied()).collect();
        self.server.must(&all).unwrap_or_else(|error| panic!("{error:#}\n{}", self.said()))
    }

    /// An instance as the server has it.
    pub(super) fn instance(&self, name: &str) -> Value {
        self.server.get(&format!("/1.0/instances/{name}?project={}", self.project)).unwrap()
    }

    /// The state of a guest's newest job, and its step that is at work; empty where it has none.
    pub(super) fn at(&self, guest: &str) -> (String, String) {
        let job = self.newest(guest);
        (text(&job["state"]), text(&job["step"]))
    }

    /// A guest's newest job; null where it has none.
    pub(super) fn newest(&self, guest: &str) -> Value {
        newest(&mut self.command(&["show", guest, "--json"]))
    }

    pub(super) fn await_state(&self, guest: &str, wanted: &[&str]) -> String {
        self.await_state_in(guest, wanted, Duration::from_secs(120))
    }

    pub(super) fn await_state_in(&self, guest: &str, wanted: &[&str], limit: Duration) -> String {
        let found = wait::until(&format!("{guest} to be {wanted:?}"), limit, || {
            let (state, _) = self.at(guest);
            wanted.contains(&state.as_str()).then_some(state)
        });
        found.unwrap_or_else(|error| panic!("{error}; it is {:?}\n{}", self.at(guest), self.said()))
    }

    /// Logs in with what `known-hosts` prints and nothing else.
    pub(super) fn log_in(&self, address: &str, words: &[&str]) -> Ran {
        let known_hosts = self.path("known_hosts");
        fs::write(&known_hosts, self.run(&["known-hosts"]).stdout).unwrap();
        let mut ssh = run::command(["ssh"]);
        ssh::log_in_at(&mut ssh, address, &known_hosts, &[], words).unwrap()
    }

    /// For messages.
    pub(super) fn said(&self) -> String {
        let log = self.companion.0.as_ref().map(Companion::log).unwrap_or_default();
        format!("{log}\n--- incusd\n{}", self.server.log())
    }

    /// The server is as it was before the test.
    pub(super) fn assert_clean(&self) {
        self.clean().unwrap_or_else(|left| panic!("{left}\n{}", self.said()));
    }

    /// The same; else what is there besides, or is not any more.
    pub(super) fn clean(&self) -> Result<(), String> {
        let now = self.server.inventory(&self.project).unwrap();
        if now == self.before { Ok(()) } else { Err(format!("{now:#}\nand it was\n{:#}", self.before)) }
    }

    /// Ends all, and demands that nothing is left on the server and on this machine.
    pub(crate) fn end(mut self) {
        let companion = self.companion.0.take();
        companion.map_or(Ok(()), Companion::stop).unwrap();
        self.assert_clean();
        self.server.must(&["project", "delete", &self.project]).unwrap();
        let left = leftovers::find(&self.state());
        assert!(left.is_empty(), "left behind:\n{}", left.join("\n"));
    }
}

/// After a failure, too, it ends.
#[derive(Debug)]
struct Daemon(Option<Companion>);

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(companion) = self.0.take() {
            companion.kill();
        }
    }
}

/// The job that this `show --json` tells of; null where there is none.
pub(super) fn newest(show: &mut Command) -> Value {
    let shown = serde_json::from_str(&run::run(show).unwrap().stdout).unwrap_or(Value::Null);
    shown["job"].clone()
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
