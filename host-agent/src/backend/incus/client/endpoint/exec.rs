//! Commands in running instances. The server keeps what they print in files, which are read and then removed.

use std::collections::BTreeMap;

use hyper::body::Bytes;
use serde::Serialize;

use super::instance::path;
use super::{Answered, Endpoint, Unreadable, operation};
use crate::backend::incus::client::call::{Call, Method, segment};
use crate::backend::incus::client::operation::OperationId;

/// Starts a command, without a shell, a terminal or anything to read. See [`super::super::exec`] for its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exec {
    pub instance: String,
    pub command: Vec<String>,
    /// Beside what the server sets (PATH, HOME, ...).
    pub environment: BTreeMap<String, String>,
    pub user: u32,
    pub group: u32,
    /// Empty: the user's home.
    pub cwd: String,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ExecBody<'a> {
    command: &'a [String],
    wait_for_websocket: bool,
    interactive: bool,
    record_output: bool,
    environment: &'a BTreeMap<String, String>,
    user: u32,
    group: u32,
    cwd: &'a str,
}

impl Endpoint for Exec {
    type Answer = OperationId;

    fn call(&self) -> Call {
        Call::new(Method::Post, path(&self.instance, "/exec")).json(&ExecBody {
            command: &self.command,
            wait_for_websocket: false,
            interactive: false,
            record_output: true,
            environment: &self.environment,
            user: self.user,
            group: self.group,
            cwd: &self.cwd,
        })
    }

    fn read(answered: Answered) -> Result<OperationId, Unreadable> {
        operation(answered)
    }
}

/// One of the files with a command's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOutput {
    pub instance: String,
    /// `exec_UUID.stdout`
    pub file: String,
    /// In bytes; the rest of a larger file is left.
    pub most: usize,
}

impl Endpoint for ReadOutput {
    type Answer = Bytes;

    fn call(&self) -> Call {
        Call::new(Method::Get, output(&self.instance, &self.file)).raw(self.most).cut()
    }

    fn read(answered: Answered) -> Result<Bytes, Unreadable> {
        Ok(answered.bytes)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoveOutput {
    pub instance: String,
    pub file: String,
}

impl Endpoint for RemoveOutput {
    type Answer = ();

    fn call(&self) -> Call {
        Call::new(Method::Delete, output(&self.instance, &self.file))
    }

    fn read(_answered: Answered) -> Result<(), Unreadable> {
        Ok(())
    }
}

fn output(instance: &str, file: &str) -> String {
    path(instance, &format!("/logs/exec-output/{}", segment(file)))
}
