//! Tasks as the node tells of them.

use serde::Deserialize;
use serde_json::Value;

use super::{Endpoint, Unreadable, parse};
use crate::backend::proxmox::client::call::{Call, Method, segment};
use crate::backend::proxmox::client::lenient;
use crate::backend::proxmox::client::upid::Upid;

/// The token's own tasks on a node, running and ended, newest first. How a task is found whose name was lost with the
/// answer. (The cluster's list hides a token's own tasks from it.)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListTasks {
    pub node: String,
    pub vmid: Option<u32>,
    /// Seconds since 1970 by the node's clock: leave room for the difference to ours.
    pub since: Option<u64>,
    /// `vzrestore`, ...
    pub kind: Option<String>,
    /// The server's own limit is 50.
    pub limit: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskLine {
    pub upid: Upid,
    /// How it ended; None: it runs.
    pub ended: Option<String>,
}

#[derive(Deserialize)]
struct RawTaskLine {
    upid: String,
    #[serde(default, deserialize_with = "lenient::text")]
    status: Option<String>,
    #[serde(default, deserialize_with = "lenient::number")]
    endtime: Option<u64>,
}

impl Endpoint for ListTasks {
    type Answer = Vec<TaskLine>;

    fn call(&self) -> Call {
        Call::new(Method::Get, format!("/nodes/{}/tasks", segment(&self.node)))
            .with("source", "all")
            .maybe("vmid", self.vmid)
            .maybe("since", self.since)
            .maybe("typefilter", self.kind.as_deref())
            .maybe("limit", self.limit)
    }

    fn read(data: Value) -> Result<Vec<TaskLine>, Unreadable> {
        let lines: Vec<RawTaskLine> = parse(data)?;
        lines
            .into_iter()
            .map(|line| {
                let upid = line.upid.parse().map_err(Unreadable::because)?;
                // A running task has no status, or `RUNNING`, and never an end.
                let ended = line.status.filter(|status| line.endtime.is_some() || status != "RUNNING");
                Ok(TaskLine { upid, ended })
            })
            .collect()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadTask {
    pub upid: Upid,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TaskStatus {
    /// `running` or `stopped`
    pub status: String,
    #[serde(default, deserialize_with = "lenient::text")]
    pub exitstatus: Option<String>,
}

impl Endpoint for ReadTask {
    type Answer = TaskStatus;

    fn call(&self) -> Call {
        Call::new(Method::Get, format!("{}/status", path(&self.upid)))
    }

    fn read(data: Value) -> Result<TaskStatus, Unreadable> {
        parse(data)
    }
}

/// The task's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadTaskLog {
    pub upid: Upid,
    pub start: u32,
    pub limit: u32,
}

#[derive(Deserialize)]
struct LogLine {
    #[serde(default, deserialize_with = "lenient::text")]
    t: Option<String>,
}

impl Endpoint for ReadTaskLog {
    type Answer = Vec<String>;

    fn call(&self) -> Call {
        Call::new(Method::Get, format!("{}/log", path(&self.upid)))
            .with("start", self.start)
            .with("limit", self.limit)
    }

    fn read(data: Value) -> Result<Vec<String>, Unreadable> {
        let lines: Vec<LogLine> = parse(data)?;
        Ok(lines.into_iter().filter_map(|line| line.t).collect())
    }
}

/// Interrupts a task. What it had begun is cleaned up by it, or not: read its end, and then the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopTask {
    pub upid: Upid,
}

impl Endpoint for StopTask {
    type Answer = ();

    fn call(&self) -> Call {
        Call::new(Method::Delete, path(&self.upid))
    }

    fn read(_data: Value) -> Result<(), Unreadable> {
        Ok(())
    }
}

/// The node that a task runs on is the one that can be asked.
fn path(upid: &Upid) -> String {
    format!("/nodes/{}/tasks/{}", segment(&upid.node), segment(upid.as_str()))
}
