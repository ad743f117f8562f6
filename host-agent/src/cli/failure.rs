//! How commands end: the documented exit codes, `error:` and `hint:`.

use std::process::ExitCode;

use firstlight_shared::error::Chain;
use firstlight_shared::text::escape;

use crate::bringup::SpecError;
use crate::daemon::StartError;
use crate::outcome::Fault;

/// The table of `firstlight --help`; 2 is clap's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    Ok = 0,
    NotReady = 1,
    BadInput = 3,
    Environment = 4,
    NoAnswer = 5,
    NeedsOperator = 6,
    /// Ctrl-C, as shells number it.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command that did not do what was asked.
#[derive(Debug)]
pub(super) struct Failure {
    exit: Exit,
    message: String,
    hints: Vec<String>,
}

impl Failure {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hints: Vec::new() }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Prints to standard error and gives the exit code.
    pub(super) fn report(self) -> ExitCode {
        // Lines are ours (a spec's error shows the place); what is in them may be anybody's.
        let lines = self.message.lines().map(|line| escape(line, 2000)).collect::<Vec<_>>();
        eprintln!("error: {}", lines.join("\n"));
        for hint in self.hints {
            eprintln!("hint: {hint}");
        }
        self.exit.into()
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let exit = match fault.code.as_str() {
            "no-such-job" | "no-such-guest" => Exit::NoAnswer,
            code if code.starts_with("golden-") || code.starts_with("unsupported-") => Exit::BadInput,
            "no-such-backend" | "guest-exists" => Exit::BadInput,
            _ => Exit::Environment,
        };
        Self { exit, message: fault.message, hints: fault.hint.into_iter().collect() }
    }
}

impl From<SpecError> for Failure {
    fn from(error: SpecError) -> Self {
        let failure = Self::new(Exit::BadInput, Chain(&error).to_string().trim_end());
        match error {
            SpecError::Read { .. } => {
                failure.hint("name the spec, a file of TOML in UTF-8: firstlight up SPEC")
            }
            SpecError::Toml { .. } => failure.hint("mend the line shown; README.md lists the keys of a spec"),
            SpecError::Empty { .. } => failure.hint("add one: [[guest]] with name, golden and backend"),
            SpecError::Name { .. } => failure.hint("use a name like web-01, or web-{n} with count"),
            SpecError::Value { .. } | SpecError::Twice { .. } => {
                failure.hint("nothing was done: mend the spec and try again")
            }
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self::new(Exit::Environment, Chain(&error).to_string()).hint(error.hint())
    }
}
