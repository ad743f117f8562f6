//! What an operator has: a simulated cluster, a configuration, and the program.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use firstlight::clock::now_s;
use firstlight_tests::ports::free_address;
use firstlight_tests::run::{Ran, without_variables};
use firstlight_tests::simpve::example::{self, SECRET, TOKEN};
use firstlight_tests::simpve::profile::Profile;
use firstlight_tests::simpve::wire::{Pace, SimPve};
use firstlight_tests::simpve::world::World;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

pub(crate) struct Operator {
    pub(crate) sim: SimPve,
    folder: TempDir,
    /// Where the configuration says that reports are taken.
    pub(crate) reports: SocketAddr,
}

/// How one run ended. The token is never in what it said, whatever goes wrong.
#[track_caller]
pub(crate) fn ended(output: Output) -> Ran {
    let ran = Ran::from(output);
    assert!(!ran.stdout.contains(SECRET) && !ran.stderr.contains(SECRET), "{ran:#?}");
    ran
}

/// The example with as many nodes, which tells the time well.
pub(crate) fn world(nodes: u8) -> World {
    example::cluster(nodes, Profile::instant(), 1, now_s())
}

impl Operator {
    /// With the cluster's authority in the configuration.
    pub(crate) fn of(world: World) -> Self {
        let operator = Self::without_config(world);
        std::fs::write(operator.path("ca.pem"), operator.sim.authority()).unwrap();
        operator.configure(&format!("ca = {:?}\n", operator.path("ca.pem")));
        operator
    }

    pub(crate) fn without_config(world: World) -> Self {
        let sim = SimPve::on_loopback(world, Pace::Auto).unwrap();
        let folder = tempfile::Builder::new().prefix("firstlight-operator-").tempdir().unwrap();
        let reports = free_address();
        Self { sim, folder, reports }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn address(&self, node: &str) -> String {
        self.sim.addresses()[node].to_string()
    }

    /// `[proxmox]` with the token and all nodes, and these lines.
    pub(crate) fn configure(&self, lines: &str) {
        let addresses: Vec<String> = self.sim.addresses().values().map(ToString::to_string).collect();
        self.write_token(SECRET);
        let text = format!(
            "state = {:?}\n[reports]\nlisten = \"{}\"\n[proxmox]\naddresses = {addresses:?}\ntoken = {:?}\n{lines}",
            self.path("state"),
            self.reports,
            self.path("token"),
        );
        std::fs::write(self.path("firstlight.toml"), text).unwrap();
    }

    pub(crate) fn write_token(&self, secret: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::write(self.path("token"), format!("{TOKEN}={secret}\n")).unwrap();
        std::fs::set_permissions(self.path("token"), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn spec(&self, text: &str) -> String {
        let path = self.path("spec.toml");
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    pub(crate) async fn run(&self, words: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_firstlight"));
        command.args(words).arg("--config").arg(self.path("firstlight.toml"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        without_variables(command.as_std_mut());
        let output = tokio::time::timeout(Duration::from_secs(60), command.output()).await;
        ended(output.expect("it ends").unwrap())
    }

    /// The findings of `doctor`, which ends with this code.
    #[track_caller]
    pub(crate) fn doctor(&self, more: &[&str], code: i32) -> impl Future<Output = Vec<Value>> {
        let words: Vec<String> =
            ["doctor", "--json"].iter().chain(more).map(|word| (*word).to_owned()).collect();
        let place = std::panic::Location::caller();
        async move {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let ran = self.run(&words).await;
            assert_eq!(ran.code, code, "asked at {place}: {ran:#?}");
            let answer: Value = serde_json::from_str(&ran.ends_with(code).stdout).unwrap();
            assert_eq!(answer["well"], code == 0, "{answer:#}");
            answer["findings"].as_array().unwrap().clone()
        }
    }
}

/// Finds what was looked at; its state, why, and what to do.
#[track_caller]
pub(crate) fn finding<'a>(findings: &'a [Value], what: &str) -> (&'a str, &'a str, Vec<&'a str>) {
    let mut of_this: Vec<&Value> =
        findings.iter().filter(|finding| finding["what"].as_str().unwrap().contains(what)).collect();
    let rank = |finding: &&Value| match finding["state"].as_str().unwrap() {
        "fail" => 0,
        "unknown" => 1,
        "warn" => 2,
        _ => 3,
    };
    of_this.sort_by_key(rank);
    let worst = of_this.first().unwrap_or_else(|| panic!("nothing of {what} in {findings:#?}"));
    let fix = worst["fix"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    (worst["state"].as_str().unwrap(), worst["why"].as_str().unwrap(), fix)
}

/// The lines that grant something, of all findings in these states.
pub(crate) fn grants(findings: &[Value], states: &[&str]) -> Vec<String> {
    let chosen = findings.iter().filter(|finding| states.contains(&finding["state"].as_str().unwrap()));
    let lines = chosen.flat_map(|finding| finding["fix"].as_array().into_iter().flatten());
    lines.filter_map(Value::as_str).filter(|line| line.starts_with("pveum ")).map(str::to_owned).collect()
}
