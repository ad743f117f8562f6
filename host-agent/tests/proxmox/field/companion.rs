//! `firstlight serve`, the program itself, as a process that can be killed.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use firstlight_tests::run::without_variables;
use firstlight_tests::wait::until_so;
use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Place;
use super::call::call;

#[derive(Debug)]
pub(crate) struct Companion {
    child: Child,
    socket: PathBuf,
    log: PathBuf,
}

/// A job as the API tells of it.
#[derive(Debug, Clone)]
pub(crate) struct Job(pub(crate) Value);

impl Job {
    pub(crate) fn state(&self) -> &str {
        self.0["state"].as_str().unwrap_or_default()
    }

    pub(crate) fn is_final(&self) -> bool {
        ["done", "rolled-back", "needs-operator", "abandoned"].contains(&self.state())
    }

    pub(crate) fn leftovers(&self) -> Vec<String> {
        serde_json::from_value(self.0["leftovers"].clone()).unwrap_or_default()
    }
}

impl Companion {
    /// Waits until it answers.
    pub(crate) async fn start(place: &Place) -> Self {
        let log = place.path("log");
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_firstlight"));
        without_variables(&mut command);
        let child = command
            .args(["serve", "--config"])
            .arg(place.path("firstlight.toml"))
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        let mut companion = Self { child, socket: place.path("control.sock"), log };
        until_so("the companion to answer", Duration::from_secs(30), async || {
            let ended = companion.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended: {ended:?}\n{}", companion.log());
            companion.get("/v1/status").await.is_some()
        })
        .await;
        companion
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: nothing is said and nothing is put in order.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// None: it does not answer.
    pub(crate) async fn get(&self, path: &str) -> Option<Value> {
        match call(&self.socket, "", "GET", path, &Value::Null).await {
            Ok((StatusCode::OK, answer)) => Some(answer),
            _ => None,
        }
    }

    /// Asks until it is answered well: for what may be asked for twice.
    pub(crate) async fn insist(&self, path: &str, body: &Value) {
        until_so("the companion to agree", Duration::from_secs(60), async || {
            let answered = call(&self.socket, "", "POST", path, body).await;
            answered.is_ok_and(|(status, _)| status.is_success())
        })
        .await;
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        call(&self.socket, "", "POST", path, body).await.unwrap()
    }

    /// Submits a guest; its job.
    pub(crate) async fn up(&self, spec: &Value) -> String {
        let ends = Instant::now() + Duration::from_secs(30);
        loop {
            let body = json!({ "guests": [spec], "by": "test" });
            match call(&self.socket, "", "POST", "/v1/up", &body).await {
                Ok((status, answer)) if status.is_success() => {
                    return answer["jobs"][0]["job"].as_str().expect("there is a job").to_owned();
                }
                // Nothing is submitted while the cluster cannot be looked at.
                other => assert!(Instant::now() < ends, "{other:?}\n{}", self.log()),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub(crate) async fn job(&self, job: &str) -> Option<Job> {
        let answer = self.get(&format!("/v1/jobs/{job}")).await?;
        let found = if answer["job"].is_object() { &answer["job"] } else { &answer };
        Some(Job(found.clone()))
    }

    /// Waits until the job has ended.
    pub(crate) async fn ended(&self, job: &str, limit: Duration) -> Job {
        let mut last = None;
        let ends = Instant::now() + limit;
        loop {
            if let Some(found) = self.job(job).await {
                if found.is_final() {
                    return found;
                }
                last = Some(found);
            }
            assert!(Instant::now() < ends, "it did not end in {limit:?}: {last:#?}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Its last words.
    pub(crate) fn log(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(80)..].join("\n")
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the companion's last words\n{}", self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
