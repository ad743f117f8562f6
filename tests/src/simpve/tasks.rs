//! What the API tells of tasks.

use serde_json::{Value, json};

use super::access::{Need, user_of};
use super::answer::{Answer, Refusal};
use super::call::Call;
use super::task::Task;
use super::world::World;

impl World {
    /// The task, if it is the caller's own or the caller may see all of the node's.
    fn task(&self, call: &Call, node: &str, upid: &str) -> Result<&Task, Refusal> {
        if upid.split(':').count() != 9 || !upid.starts_with("UPID:") {
            return Err(Refusal::parameter("upid", "unable to parse worker upid"));
        }
        let found = self.tasks.iter().find(|task| task.upid == upid && task.node == node);
        let task = found.ok_or_else(|| Refusal::parameter("upid", "no such task"))?;
        if task.owner != call.who {
            self.check(&call.who, &format!("/nodes/{node}"), &["Sys.Audit"], Need::All)?;
        }
        Ok(task)
    }

    pub(super) fn get_task_status(&self, call: &Call, node: &str, upid: &str) -> Result<Answer, Refusal> {
        let task = self.task(call, node, upid)?;
        let mut shown = described(task);
        shown["status"] = json!(if task.is_active() { "running" } else { "stopped" });
        if let Some(exit) = &task.exit {
            shown["exitstatus"] = json!(exit.replace('\n', " "));
        }
        Ok(Answer::data(shown).after(self.profile.read))
    }

    pub(super) fn get_task_log(&self, call: &Call, node: &str, upid: &str) -> Result<Answer, Refusal> {
        let task = self.task(call, node, upid)?;
        let start = usize::try_from(call.parameters.number("start").unwrap_or(0)).unwrap_or(usize::MAX);
        let limit = match call.parameters.number("limit") {
            Some(0) => usize::MAX,
            Some(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
            None => 50,
        };
        let numbered = task.log.iter().enumerate().map(|(place, text)| json!({ "n": place + 1, "t": text }));
        let lines = numbered.skip(start).take(limit).collect();
        Ok(Answer::counted(lines, task.log.len()).after(self.profile.read))
    }

    pub(super) fn delete_task(&mut self, call: &Call, node: &str, upid: &str) -> Result<Answer, Refusal> {
        let owner = self.task(call, node, upid).map(|task| task.owner.clone())?;
        if owner != call.who {
            self.check(&call.who, &format!("/nodes/{node}"), &["Sys.Modify"], Need::All)?;
        }
        self.interrupt(upid);
        Ok(Answer::data(Value::Null).after(self.profile.write))
    }

    /// Newest first; running ones only where they are asked for.
    pub(super) fn list_tasks(&self, call: &Call, node: &str) -> Answer {
        let parameters = &call.parameters;
        let all = self.may(&call.who, &format!("/nodes/{node}"), "Sys.Audit");
        let source = parameters.get("source").unwrap_or("archive");
        let wanted = |task: &&Task| {
            let shown = match source {
                "all" => true,
                "active" => task.is_active(),
                _ => !task.is_active(),
            };
            shown
                && task.node == node
                && (all || task.owner == call.who)
                && parameters.get("vmid").is_none_or(|id| task.id == id)
                && parameters.get("typefilter").is_none_or(|kind| task.kind == kind)
                && parameters.number("since").is_none_or(|since| task.started >= since)
                && parameters.number("until").is_none_or(|until| task.started <= until)
                && (!parameters.flag("errors") || task.exit.as_deref().is_some_and(|exit| exit != "OK"))
        };
        let found: Vec<&Task> = self.tasks.iter().rev().filter(wanted).collect();
        let start = usize::try_from(parameters.number("start").unwrap_or(0)).unwrap_or(usize::MAX);
        let limit = usize::try_from(parameters.number("limit").unwrap_or(50)).unwrap_or(usize::MAX);
        let lines = found.iter().skip(start).take(limit).map(|task| listed(task)).collect();
        Answer::counted(lines, found.len()).after(self.profile.read)
    }

    /// The real one compares the bare user with the whole token: without Sys.Audit a token sees nothing.
    pub(super) fn list_cluster_tasks(&self, call: &Call) -> Answer {
        let seen = self.tasks.iter().rev().filter(|task| {
            task.owner == user_of(&call.who)
                || self.may(&call.who, &format!("/nodes/{}", task.node), "Sys.Audit")
        });
        let lines = seen.take(25).map(|task| {
            let mut line = listed(task);
            for key in ["pid", "pstart"] {
                line.as_object_mut().map(|fields| fields.remove(key));
            }
            line["saved"] = json!(if task.is_active() { "0" } else { "1" });
            line
        });
        Answer::data(lines.collect()).after(self.profile.read)
    }
}

fn described(task: &Task) -> Value {
    let (user, token) = task.owner.split_once('!').unwrap_or((&task.owner, ""));
    json!({
        "upid": task.upid, "node": task.node, "pid": task.pid, "pstart": task.pstart, "starttime": task.started,
        "type": task.kind, "id": task.id, "user": user, "tokenid": token,
    })
}

/// A line of a list: the exit status is called status there.
fn listed(task: &Task) -> Value {
    let mut line = described(task);
    match (&task.exit, task.ended) {
        (Some(exit), Some(ended)) => {
            line["status"] = json!(exit);
            line["endtime"] = json!(ended);
        }
        _ => {
            line["saved"] = json!("0");
            line["status"] = json!("RUNNING");
            line["user"] = json!(task.owner);
            line.as_object_mut().map(|fields| fields.remove("tokenid"));
        }
    }
    line
}
