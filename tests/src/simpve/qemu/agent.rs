//! The agent inside a machine: what is asked of it, and what silence looks like.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::access::Need;
use super::super::answer::{Answer, Refusal};
use super::super::call::{Call, Method};
use super::super::guest::{Kind, Power};
use super::super::guests::{Finished, Interface};
use super::super::schema;
use super::super::world::World;

/// Calls that only look.
const LOOKS: [&str; 7] =
    ["info", "get-osinfo", "get-fsinfo", "get-host-name", "get-time", "get-users", "get-timezone"];

impl World {
    pub(in super::super) fn agent(
        &mut self,
        call: &Call,
        node: &str,
        id: u32,
        command: &str,
    ) -> Result<Answer, Refusal> {
        let privilege = match (call.method, command) {
            (Method::Post, "ping") | (Method::Get, "network-get-interfaces") => "VM.GuestAgent.Audit",
            (Method::Get, command) if LOOKS.contains(&command) => "VM.GuestAgent.Audit",
            (Method::Post, "fsfreeze-status") => "VM.GuestAgent.Audit",
            (Method::Get, "file-read") => "VM.GuestAgent.FileRead",
            (Method::Post, "file-write") => "VM.GuestAgent.FileWrite",
            (Method::Post, "exec" | "set-user-password") | (Method::Get, "exec-status") => {
                "VM.GuestAgent.Unrestricted"
            }
            _ => {
                let path = format!("/nodes/{node}/qemu/{id}/agent/{command}");
                return Err(Refusal::not_implemented(call.method.as_str(), &path));
            }
        };
        self.check_agent_right(&call.who, id, privilege)?;
        if command == "file-write" {
            schema::AGENT_WRITE.check(&call.parameters)?;
        }
        self.check_agent(node, id)?;
        let answer = match command {
            "file-read" => self.read_guest_file(call, id)?,
            "file-write" => self.write_guest_file(call, id)?,
            "exec" => return self.run_in_guest(call, id),
            "exec-status" => self.tell_of_command(call, id)?,
            _ => json!({ "result": self.look(id, command) }),
        };
        Ok(Answer::data(answer).after(self.profile.write))
    }

    fn check_agent_right(&self, who: &str, id: u32, privilege: &str) -> Result<(), Refusal> {
        let path = format!("/vms/{id}");
        let all = "VM.GuestAgent.Unrestricted";
        match privilege == all {
            true => self.check(who, &path, &[all], Need::All),
            false => self.check(who, &path, &[privilege, all], Need::Any),
        }
    }

    fn check_agent(&self, node: &str, id: u32) -> Result<(), Refusal> {
        let guest = self.guest(Kind::Qemu, node, id).map_err(Refusal::died)?;
        if !guest.is_running() {
            return Err(Refusal::died(format!("VM {id} is not running")));
        }
        let silent = || Refusal::died("QEMU guest agent is not running");
        match guest.get("agent") {
            None => return Err(Refusal::died("No QEMU guest agent configured")),
            Some(agent) if !(agent.starts_with('1') || agent.contains("enabled=1")) => return Err(silent()),
            Some(_) => {}
        }
        let paused = matches!(guest.power, Power::Paused { .. });
        if paused || !self.machines.agent_answers(id, self.now) {
            return Err(silent().after(self.profile.silent_agent));
        }
        Ok(())
    }

    fn look(&self, id: u32, command: &str) -> Value {
        let read = |path| self.machines.read_file(id, path).unwrap_or_default();
        match command {
            "network-get-interfaces" => {
                self.machines.interfaces(id, self.now).iter().map(interface).collect()
            }
            "get-host-name" => {
                json!({ "host-name": String::from_utf8_lossy(&read("/etc/hostname")).trim_end() })
            }
            "get-time" => json!(self.epoch() * 1_000_000_000),
            "fsfreeze-status" => json!("thawed"),
            "get-osinfo" => json!({ "id": "debian", "machine": "x86_64", "version-id": "13" }),
            "info" => json!({ "version": "9.2.2", "supported_commands": [] }),
            "get-fsinfo" => json!(self.machines.filesystems(id)),
            "get-users" => json!([]),
            _ => json!({}),
        }
    }

    fn read_guest_file(&self, call: &Call, id: u32) -> Result<Value, Refusal> {
        let path = call.parameters.get("file").unwrap_or_default();
        let count = call.parameters.number("count").and_then(|count| usize::try_from(count).ok());
        let Some(content) = self.machines.read_file(id, path) else {
            let text =
                format!("Agent error: failed to open file '{path}' (mode: 'r'): No such file or directory");
            return Err(Refusal::died(text));
        };
        let read = &content[..count.unwrap_or(16 << 20).min(content.len())];
        let decode = call.parameters.get("decode").is_none() || call.parameters.flag("decode");
        let text = if decode { latin1(read) } else { STANDARD.encode(read) };
        let mut answer = json!({ "content": text, "bytes-read": read.len() });
        if read.len() < content.len() {
            answer["truncated"] = json!(1);
        }
        Ok(answer)
    }

    fn write_guest_file(&mut self, call: &Call, id: u32) -> Result<Value, Refusal> {
        let path = call.parameters.get("file").unwrap_or_default();
        let content = call.parameters.get("content").unwrap_or_default();
        let encoded = call.parameters.get("encode").is_some() && !call.parameters.flag("encode");
        let bytes = match encoded {
            true => STANDARD.decode(content).unwrap_or_default(),
            // One byte for each letter, or an error where a letter has no such byte.
            false => content
                .chars()
                .map(|letter| u8::try_from(u32::from(letter)))
                .collect::<Result<_, _>>()
                .map_err(|_| {
                    let at = "/usr/share/perl5/PVE/API2/Qemu/Agent.pm line 624.";
                    Refusal::died(format!("Wide character in subroutine entry at {at}"))
                })?,
        };
        if !self.machines.write_file(id, path, &bytes) {
            let text =
                format!("Agent error: failed to open file '{path}' (mode: 'wb'): No such file or directory");
            return Err(Refusal::died(text));
        }
        Ok(Value::Null)
    }

    /// A program that is missing breaks the answer itself: its text cannot stand in a status line.
    fn run_in_guest(&mut self, call: &Call, id: u32) -> Result<Answer, Refusal> {
        let command: Vec<String> = call.parameters.all("command").map(str::to_owned).collect();
        let input = call.parameters.get("input-data").unwrap_or_default();
        let Some(finished) = self.machines.run(id, &command, input) else {
            return Err(Refusal::relay(596, "Broken pipe").after(self.profile.broken_agent));
        };
        let pid = self.next_pid();
        self.commands.insert((id, pid), finished);
        Ok(Answer::data(json!({ "pid": pid })).after(self.profile.write))
    }

    /// Told once: afterwards the process is unknown.
    fn tell_of_command(&mut self, call: &Call, id: u32) -> Result<Value, Refusal> {
        let pid = call.parameters.number("pid").and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
        let Some(Finished { code, output, errors }) = self.commands.remove(&(id, pid)) else {
            return Err(Refusal::died("Agent error: PID ld does not exist"));
        };
        let mut told = json!({ "exited": 1, "exitcode": code });
        for (key, text) in [("out", output), ("err", errors)] {
            if !text.is_empty() {
                told[format!("{key}-data")] = json!(latin1(text.as_bytes()));
                told[format!("{key}-truncated")] = json!(0);
            }
        }
        Ok(told)
    }
}

/// Bytes as letters: UTF-8 comes out encoded twice.
fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn interface(seen: &Interface) -> Value {
    let addresses = seen.addresses.iter().map(|(address, prefix)| {
        let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
        json!({ "ip-address": address.to_string(), "ip-address-type": family, "prefix": prefix })
    });
    let counters = [
        "rx-bytes",
        "rx-dropped",
        "rx-errs",
        "rx-packets",
        "tx-bytes",
        "tx-dropped",
        "tx-errs",
        "tx-packets",
    ];
    let statistics: serde_json::Map<String, Value> =
        counters.into_iter().map(|counter| (counter.to_owned(), json!(0))).collect();
    json!({
        "name": seen.name, "hardware-address": seen.mac, "ip-addresses": addresses.collect::<Vec<_>>(),
        "statistics": statistics,
    })
}
