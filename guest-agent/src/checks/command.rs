//! `command`: a program of the administrator's ends in time with the wanted exit code.

use std::time::Duration;

use firstlight_shared::error::Chain;
use firstlight_shared::text::escape;
use serde::Deserialize;
use serde::de::Error as _;

use super::Look;
use super::value::AbsolutePath;
use crate::config::Span;
use crate::sys::{Ended, Ran, aside, run_program};

const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_TIMEOUT: Duration = Duration::from_secs(600);
/// Characters of its output that a reason shows.
const SHOWN: usize = 160;
/// Bytes of its output that are kept to show so many characters.
const KEPT: usize = 2048;

#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Keys")]
pub(super) struct Command {
    program: AbsolutePath,
    arguments: Vec<String>,
    timeout: Duration,
    exit_code: i32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    command: Vec<String>,
    timeout: Option<Span>,
    #[serde(default)]
    exit_code: u8,
}

impl TryFrom<Keys> for Command {
    type Error = toml::de::Error;
    fn try_from(keys: Keys) -> Result<Self, Self::Error> {
        let mut words = keys.command.into_iter();
        let program = words.next().ok_or_else(|| Self::Error::custom("`command` is empty"))?;
        let timeout = keys.timeout.map_or(TIMEOUT, |span| span.0);
        if timeout > MAX_TIMEOUT {
            return Err(Self::Error::custom("a `timeout` is at most 10m"));
        }
        let arguments: Vec<String> = words.collect();
        if arguments.iter().any(|word| word.contains('\0')) {
            return Err(Self::Error::custom("an argument holds a zero byte"));
        }
        let program = AbsolutePath::try_from(program).map_err(Self::Error::custom)?;
        Ok(Self { program, arguments, timeout, exit_code: i32::from(keys.exit_code) })
    }
}

impl Command {
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }
}

pub(super) async fn look(keys: &Command) -> Look {
    let own = keys.clone();
    match aside(move || run_program(&own.program.0, &own.arguments, own.timeout, KEPT)).await {
        Some(Ok(ran)) => judge(keys, &ran),
        Some(Err(error)) => Look::cannot_tell(Chain(&error).to_string()),
        None => Look::no_thread(),
    }
}

fn judge(keys: &Command, ran: &Ran) -> Look {
    let tail = tail(&ran.tail);
    let said = if tail.is_empty() { String::new() } else { format!(": {tail}") };
    match ran.ended {
        Ended::Exited(code) if code == keys.exit_code => Look::pass(format!("exit code {code}{said}")),
        Ended::Exited(code) => Look::not_yet(format!("exit code {code}{said}")),
        Ended::Killed(signal) => Look::not_yet(format!("killed by signal {signal}{said}")),
        Ended::TimedOut => Look::not_yet(format!("did not end within {} ms{said}", keys.timeout.as_millis())),
    }
}

/// The end of what it said, on one line that steers no terminal.
fn tail(text: &str) -> String {
    let text = text.trim();
    let start = text.char_indices().rev().nth(SHOWN).map_or(0, |(at, _)| at);
    escape(&text[start..], SHOWN + 1)
}

#[cfg(test)]
mod tests {
    use firstlight_shared::check::Verdict;

    use super::super::units::said;
    use super::*;

    #[test]
    fn a_command_is_judged_by_its_end() {
        let keys: Command =
            toml::from_str("command = [\"/bin/x\"]\nexit_code = 3\ntimeout = \"2s\"").unwrap();
        for (ended, verdict) in [
            (Ended::Exited(3), Verdict::Pass),
            (Ended::Exited(0), Verdict::Fail),
            (Ended::Killed(9), Verdict::Fail),
            (Ended::TimedOut, Verdict::Fail),
        ] {
            let look = judge(&keys, &Ran { ended, tail: "no\x1b[31m\n".into() });
            assert_eq!(said(&look).0, verdict, "{ended:?}");
            assert!(said(&look).1.ends_with(": no\\u{1b}[31m"), "{look:?}");
        }
    }

    #[test]
    fn a_command_is_an_absolute_path_and_words() {
        for wrong in
            ["[]", "[\"true\"]", "\"/bin/true\"", "[\"/bin/true\", 1]", "[\"/bin/true\"]\ntimeout = \"1h\""]
        {
            assert!(toml::from_str::<Command>(&format!("command = {wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_the_end_of_what_it_says_is_shown() {
        assert_eq!(tail(&format!("{}end", "ä".repeat(1000))).chars().count(), SHOWN + 1);
        assert!(tail(&"x\u{202e}".repeat(1000)).len() < 20 * SHOWN);
        assert_eq!(tail(" a\nb \n"), "a\\u{a}b");
    }
}
