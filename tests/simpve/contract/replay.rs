//! Plays one recording: every exchange in its order, at its time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use firstlight_tests::simpve::answer::{Answer, Body};
use firstlight_tests::simpve::call::{Call, Method, Parameters};
use firstlight_tests::simpve::world::{Step, World};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::acts;

/// A recording, and how far it is.
pub(super) struct Replay {
    pub(super) world: World,
    /// UPIDs by the name of the exchange that started them.
    upids: BTreeMap<String, String>,
    /// What stands literally in the facts; everything else of its kind came from chance.
    literal: BTreeSet<String>,
    pub(super) wrong: Vec<String>,
    pub(super) right: usize,
}

impl Replay {
    pub(super) fn new(world: World, facts: &str) -> Self {
        let recorded = facts.lines().filter(|line| !line.starts_with("{\"rig\""));
        let literal = recorded.flat_map(words).filter(|word| is_chance(word)).map(str::to_owned).collect();
        Self { world, upids: BTreeMap::new(), literal, wrong: Vec::new(), right: 0 }
    }

    pub(super) fn play(&mut self, facts: &str) {
        for line in facts.lines() {
            let fact: Value = serde_json::from_str(line).unwrap();
            if let Some(act) = fact["rig"].as_str() {
                let upid = acts::carry_out(&mut self.world, act, &self.upids);
                self.upids.extend(upid.map(|upid| ("delete".to_owned(), upid)));
                continue;
            }
            match self.judge(&fact) {
                Ok(()) => self.right += 1,
                Err(text) => {
                    self.wrong.push(format!("{}: {text}", fact["name"].as_str().unwrap_or_default()))
                }
            }
        }
    }

    fn judge(&mut self, fact: &Value) -> Result<(), String> {
        if let Some(exit) = fact["exit"].as_str() {
            let upid =
                self.upids.get(fact["of"].as_str().unwrap_or_default()).ok_or("its task was not started")?;
            let upid = upid.clone();
            let found = self.world.finish_task(&upid).unwrap_or_default();
            return same("exit status", &json!(self.mask(&found)), &json!(exit));
        }
        let at = Duration::from_secs(fact["at"].as_u64().unwrap_or(0));
        self.world.advance(at);
        let answer = self.ask(&self.call(fact)?);
        self.judge_answer(fact, &answer)
    }

    fn call(&self, fact: &Value) -> Result<Call, String> {
        let (method, path) = fact["call"].as_str().and_then(|call| call.split_once(' ')).ok_or("no call")?;
        let mut path = path.to_owned();
        if let Some(of) = fact["of"].as_str() {
            path = path.replace("{of}", self.upids.get(of).ok_or("its task was not started")?);
        }
        let mut with = fact["with"].as_str().unwrap_or_default().to_owned();
        if let Some((start, rest)) = with.split_once("{x:") {
            let (count, end) = rest.split_once('}').ok_or("an open brace")?;
            with = format!("{start}{}{end}", "x".repeat(count.parse().map_err(|_| "no number")?));
        }
        if let Some(guest) = path.split('/').nth(4).and_then(|id| self.world.guests.get(&id.parse().ok()?)) {
            with = with.replace("{digest}", &guest.digest());
        }
        let parameters = Parameters::new(form(&with));
        let who = fact["who"].as_str().unwrap_or_default();
        let mut call = Call::new("pve1", who, Method::parse(method).ok_or("method")?, &path, parameters);
        call.arrived = self.world.now();
        Ok(call)
    }

    /// Lets time pass for as long as the call waits for a lock.
    fn ask(&mut self, call: &Call) -> Answer {
        loop {
            match self.world.call(call) {
                Step::Answer(answer) => return *answer,
                Step::Wait { until } => match self.world.next_due() {
                    Some(due) if due <= until => drop(self.world.step()),
                    _ => self.world.advance(until),
                },
            }
        }
    }

    fn judge_answer(&mut self, fact: &Value, answer: &Answer) -> Result<(), String> {
        let status = fact["status"].as_u64().unwrap_or(200);
        let reason = fact["reason"].as_str().unwrap_or("OK");
        let found = json!([answer.status, self.mask(&answer.reason)]);
        same("status line", &found, &json!([status, reason]))?;
        let Body::Json(body) = &answer.body else { return Ok(()) };
        if let Some(errors) = fact.get("errors") {
            same("errors", &self.masked(&body["errors"]), errors)?;
        }
        let data = &body["data"];
        if let Some(task) = fact["task"].as_str() {
            let upid = data.as_str().ok_or("no UPID")?.to_owned();
            let parts: Vec<&str> = upid.split(':').collect();
            same("task", &json!(format!("{}:{}", parts[5], parts[6])), &json!(task))?;
            self.upids.insert(fact["name"].as_str().unwrap_or_default().to_owned(), upid);
        }
        if let Some(expected) = fact.get("data") {
            same("data", &self.masked(&without_digest(data)), expected)?;
        }
        self.judge_shape(fact, data)
    }

    fn judge_shape(&self, fact: &Value, data: &Value) -> Result<(), String> {
        if let Some(expected) = fact["data_has"].as_object() {
            for (key, value) in expected {
                same(key, &self.masked(&data[key]), value)?;
            }
        }
        if fact.get("keys").is_some() {
            same("keys", &json!(keys(data)), &fact["keys"])?;
        }
        if let Some(expected) = fact.get("pending") {
            let waits = |line: &&Value| line.get("pending").is_some() || line.get("delete").is_some();
            let lines = data.as_array().into_iter().flatten().filter(waits);
            let mut found: Vec<Value> = lines
                .map(|line| json!([line["key"], self.masked(&line["pending"]), line["delete"]]))
                .collect();
            found.sort_by_key(ToString::to_string);
            same("pending", &json!(found), expected)?;
        }
        if let Some(expected) = fact.get("volumes") {
            let lines = data.as_array().into_iter().flatten();
            let mut found: Vec<Value> = lines.map(|line| json!([line["volid"], line["size"]])).collect();
            found.sort_by_key(ToString::to_string);
            same("volumes", &json!(found), expected)?;
        }
        if let Some(expected) = fact["last"].as_str() {
            let last = data.as_array().and_then(|lines| lines.last()).map(|line| line["t"].clone());
            same("last line", &self.masked(&last.unwrap_or(json!(""))), &json!(expected))?;
        }
        self.judge_list(fact, data)
    }

    fn judge_list(&self, fact: &Value, data: &Value) -> Result<(), String> {
        if let Some(expected) = fact.get("list") {
            let list = if fact["inside"].is_string() { &data["result"] } else { data };
            let list = list.as_array().ok_or("no list")?;
            same("empty", &json!(list.is_empty()), fact.get("empty").unwrap_or(&json!(false)))?;
            // Of what is listed the keys are known to be right if one line has them all.
            let fits = list.iter().any(|line| json!(keys(line)) == *expected);
            if !list.is_empty() && !fits {
                return Err(format!(
                    "keys of lines: {:?} for {expected}",
                    list.iter().map(keys).collect::<Vec<_>>()
                ));
            }
        }
        Ok(())
    }

    /// Replaces what came from chance.
    fn mask(&self, text: &str) -> String {
        let mut masked = text.to_owned();
        for word in words(text).filter(|word| is_chance(word) && !self.literal.contains(*word)) {
            masked = masked.replace(word, if word.len() == 17 { "MAC" } else { "UUID" });
        }
        for (mark, kept) in [("ctime=", "1795263213"), ("vzdumptmp", "")] {
            masked = mask_numbers(&masked, mark, kept);
        }
        masked
    }

    fn masked(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => json!(self.mask(text)),
            Value::Array(list) => list.iter().map(|one| self.masked(one)).collect(),
            Value::Object(fields) => {
                Value::Object(fields.iter().map(|(key, one)| (key.clone(), self.masked(one))).collect())
            }
            other => other.clone(),
        }
    }
}

fn mask_numbers(text: &str, mark: &str, kept: &str) -> String {
    let mut parts = text.split(mark);
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(part.len());
        let (number, rest) = part.split_at(end);
        let letter = if mark == "ctime=" { "T" } else { "N" };
        masked += mark;
        masked += if number.is_empty() || number == kept { number } else { letter };
        masked += rest;
    }
    masked
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !(letter.is_ascii_alphanumeric() || ":-".contains(letter)))
}

/// A MAC address or a UUID.
fn is_chance(word: &str) -> bool {
    let parts = |separator: char, lengths: &[usize]| {
        let found: Vec<&str> = word.split(separator).collect();
        let hex = |part: &&str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
        found.len() == lengths.len()
            && found.iter().zip(lengths).all(|(part, length)| part.len() == *length && hex(part))
    };
    parts(':', &[2; 6]) || parts('-', &[8, 4, 4, 4, 12])
}

fn without_digest(data: &Value) -> Value {
    let mut data = data.clone();
    if let Some(fields) = data.as_object_mut() {
        fields.remove("digest");
    }
    data
}

fn keys(value: &Value) -> Vec<String> {
    let mut keys: Vec<String> =
        value.as_object().into_iter().flat_map(|fields| fields.keys().cloned()).collect();
    keys.sort();
    keys
}

fn same(what: &str, found: &Value, expected: &Value) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found} for {expected}")) }
}

pub(super) fn form(text: &str) -> Vec<(String, String)> {
    let decode = |part: &str| percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned();
    let parts = text.split(['&', ';']).filter(|part| !part.is_empty());
    let pairs = parts.map(|part| part.split_once('=').unwrap_or((part, "")));
    pairs.map(|(name, value)| (decode(name), decode(value))).collect()
}
