//! What goes wrong on purpose: for which calls, how often, and how.

use std::collections::BTreeMap;
use std::time::Duration;

use super::call::Method;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Carried out and answered this much later.
    Delay(Duration),
    /// The connection breaks before anything is done.
    CutBefore,
    /// It is done, then the connection breaks.
    CutAfter,
    /// Nothing is done; 500 with this text.
    Fails(String),
    /// The daemon behind the proxy is down: nothing is done.
    Unreachable,
    /// The proxy gives up on the daemon; whether it is done all the same is the question.
    TimedOut { applied: bool },
    /// 401 after three seconds, whatever the token.
    Unauthorized,
    /// The task that it starts ends with this error.
    TaskFails(String),
    /// The process of the task that it starts is killed halfway.
    TaskLost,
    /// The connection breaks at once, and it is done this much later.
    Late(Duration),
    /// Another one takes the number of the guest in the same moment.
    LosesRace,
}

/// Calls to which a fault applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub method: Option<Method>,
    /// Below `/api2/json`; `*` is any one part, `**` at the end any number of them.
    pub path: String,
    /// Calls that pass unharmed before.
    pub skip: u32,
    /// Calls that it applies to then.
    pub times: u32,
    pub fault: Fault,
}

impl Rule {
    /// For the next such call.
    pub fn once(method: Method, path: &str, fault: Fault) -> Self {
        Self { method: Some(method), path: path.into(), skip: 0, times: 1, fault }
    }

    /// For all such calls from now on.
    pub fn always(method: Method, path: &str, fault: Fault) -> Self {
        Self { times: u32::MAX, ..Self::once(method, path, fault) }
    }

    pub fn skipping(mut self, calls: u32) -> Self {
        self.skip = calls;
        self
    }

    fn applies(&self, method: Method, path: &str) -> bool {
        self.method.is_none_or(|wanted| wanted == method) && matches(&self.path, path)
    }
}

fn matches(pattern: &str, path: &str) -> bool {
    let split =
        |text: &str| text.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let (pattern, path) = (split(pattern), split(path));
    let (fixed, open) = match pattern.split_last() {
        Some((last, rest)) if last == "**" => (rest, true),
        _ => (pattern.as_slice(), false),
    };
    let long_enough = if open { path.len() >= fixed.len() } else { path.len() == fixed.len() };
    long_enough && fixed.iter().zip(&path).all(|(wanted, part)| wanted == "*" || wanted == part)
}

#[derive(Debug, Default)]
pub struct Faults {
    rules: Vec<Rule>,
    /// Nodes that show a certificate of an unknown authority, and to how many connections.
    strangers: BTreeMap<String, u32>,
}

impl Faults {
    pub fn add(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    pub fn clear(&mut self) {
        self.rules.clear();
        self.strangers.clear();
    }

    /// Whether every rule has met as many calls as it was made for.
    pub fn are_used_up(&self) -> bool {
        self.rules.iter().all(|rule| rule.times == 0)
    }

    /// The next connections to this node meet a certificate of an unknown authority.
    pub fn show_strange_certificate(&mut self, node: &str, connections: u32) {
        self.strangers.insert(node.into(), connections);
    }

    pub(super) fn is_strange(&mut self, node: &str) -> bool {
        let Some(left) = self.strangers.get_mut(node).filter(|left| **left > 0) else { return false };
        *left -= 1;
        true
    }

    /// The first rule that applies and has calls left.
    pub(super) fn take(&mut self, method: Method, path: &str) -> Option<Fault> {
        for rule in self.rules.iter_mut().filter(|rule| rule.times > 0 && rule.applies(method, path)) {
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            rule.times = rule.times.saturating_sub(u32::from(rule.times != u32::MAX));
            return Some(rule.fault.clone());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_parts() {
        let table = [
            ("/nodes/*/lxc", "/nodes/pve1/lxc", true),
            ("/nodes/*/lxc", "/nodes/pve1/lxc/100", false),
            ("/nodes/*/lxc/**", "/nodes/pve1/lxc/100/config", true),
            ("/nodes/pve2/**", "/nodes/pve1/lxc", false),
            ("/**", "/version", true),
        ];
        for (pattern, path, expected) in table {
            assert_eq!(matches(pattern, path), expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn rules_skip_then_apply_then_are_used_up() {
        let mut faults = Faults::default();
        faults.add(Rule::once(Method::Put, "/**", Fault::CutAfter).skipping(1));
        let taken: Vec<_> = (0..3).map(|_| faults.take(Method::Put, "/x")).collect();
        assert_eq!(taken, [None, Some(Fault::CutAfter), None]);
        assert_eq!(faults.take(Method::Get, "/x"), None);
    }
}
