//! How commands end: the documented exit codes, `error:` and `hint:`.

use std::process::ExitCode;

use firstlight_shared::error::Chain;
use firstlight_shared::text::escape;

use super::live::say;
use crate::backend::blames_plan;
use crate::bringup::SpecError;
use crate::daemon::StartError;
use crate::outcome::Fault;

/// The table of `firstlight --help`; 2 is clap's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    Ok = 0,
    NotReady = 1,
    Usage = 2,
    BadInput = 3,
    Environment = 4,
    NoAnswer = 5,
    NeedsOperator = 6,
    /// The guest cannot be asked, and answers later.
    NotNow = 7,
    /// Ctrl-C, as shells number it.
    Interrupted = 130,
}

/// Every exit code with its meaning; README shows the same.
pub(super) const EXITS: [(u8, &str); 9] = [
    (0, "done; of `plan`: `up` would work, or has nothing to do"),
    (
        1,
        "a guest did not become ready (it was rolled back, unless its spec says keep; one that another tool made stays as it is); of `doctor`: something is missing; of `verify`: something does not hold; of `golden lint`: an error was found; of `duplicates`: guests that are there share an identity",
    ),
    (2, "wrong usage"),
    (
        3,
        "refused: a bad spec or golden, a guest's name that is taken, a request that the job's state does not allow; of `plan`: `up` would be refused",
    ),
    (
        4,
        "the machine or the hypervisor lacks something: rights, a tool, a free port, a state folder, a store that works",
    ),
    (5, "no companion answers, or there is no such job or guest"),
    (6, "an operator is needed: `firstlight show` names what is left and the commands to run"),
    (7, "of `verify`: nothing can be run in the guest; it tells at its next timer or boot"),
    (130, "interrupted by Ctrl-C; what a companion was told to do goes on"),
];

/// The table as `--help` shows it.
pub(super) fn exit_codes() -> String {
    let lines = EXITS.map(|(exit, meaning)| format!("  {exit:<4} {meaning}"));
    format!("Exit codes:\n{}", lines.join("\n"))
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command that did not do what was asked.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    pub(super) message: String,
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
        say(&format!("error: {}", lines.join("\n")));
        for hint in self.hints {
            say(&format!("hint: {}", escape(&hint, 2000)));
        }
        self.exit.into()
    }
}

/// The exit code that fits a fault.
pub(super) fn exit_of(code: &str) -> Exit {
    match code {
        "no-such-job" | "no-such-guest" | "no-such-webhook" => Exit::NoAnswer,
        "no-ssh-ca" | "ssh-ca" => Exit::Environment,
        "ssh-ca-host-key" => Exit::BadInput,
        // Of a guest that is verified: it cannot answer, or not as itself.
        "guest-stopped" | "guest-gone" | "guest-does-not-answer" => Exit::NotReady,
        code if code.starts_with("evidence-") => Exit::NotReady,
        "bad-recipe" | "output-exists" => Exit::BadInput,
        "no-adoption" | "ambiguous-guest" | "no-mac" | "no-name" | "template" | "bad-request" => {
            Exit::BadInput
        }
        // Of memory, and of changes of guests that are ready.
        "memory-budget" | "memory-unknown" | "no-budget" | "no-such-snapshot" | "snapshot-exists"
        | "change-in-progress" | "not-a-guest" | "request-pending" => Exit::BadInput,
        // Of a plan only: its guests would wait until the limit is another one.
        "limit-zero" => Exit::BadInput,
        // Of a name: taken by another guest, by one that is being undone, by one that waits for an operator.
        code if ["guest-", "cannot-", "job-", "spec-"].iter().any(|kind| code.starts_with(kind)) => {
            Exit::BadInput
        }
        code if blames_plan(code) => Exit::BadInput,
        _ => Exit::Environment,
    }
}

/// What to do, where a fault does not say it.
fn next_step(code: &str) -> &'static str {
    match code {
        "not-authenticated" => "check --token-file, or --client-cert, with whoever runs the companion",
        "bad-request" | "method" | "no-such-route" => {
            "is the companion of this version? `firstlight --version` tells ours"
        }
        code if code.starts_with("job-") => {
            "`firstlight jobs` lists what there is; `firstlight show` with its id or guest tells what happened to it"
        }
        code if code.starts_with("store-") => {
            "the companion's log tells more; the same command may be tried again"
        }
        _ => "`firstlight jobs` shows where things stand",
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let hint = fault.hint.unwrap_or_else(|| next_step(&fault.code).to_owned());
        Self { exit: exit_of(&fault.code), message: fault.message, hints: vec![hint] }
    }
}

impl From<SpecError> for Failure {
    fn from(error: SpecError) -> Self {
        let failure = Self::new(Exit::BadInput, Chain(&error).to_string().trim_end());
        match error {
            SpecError::Read { .. } => {
                failure.hint("name the spec, a file of TOML in UTF-8: firstlight up SPEC")
            }
            SpecError::Toml { .. } => failure.hint("mend the line shown; docs/spec.md has every key"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_fault_has_its_exit_code() {
        for (code, exit) in [
            ("guest-exists", Exit::BadInput),
            ("guest-differs", Exit::BadInput),
            ("guest-unwinding", Exit::BadInput),
            ("guest-needs-operator", Exit::BadInput),
            ("golden-missing", Exit::BadInput),
            ("cannot-retry", Exit::BadInput),
            ("no-such-guest", Exit::NoAnswer),
            ("ambiguous-guest", Exit::BadInput),
            ("guest-not-ours", Exit::BadInput),
            ("no-adoption", Exit::BadInput),
            ("secret-exposed", Exit::BadInput),
            ("no-safe-channel", Exit::BadInput),
            ("incus-no-image", Exit::BadInput),
            ("incus-unreachable", Exit::Environment),
            ("store-query", Exit::Environment),
            ("golden-missing", Exit::BadInput),
            ("unsupported-size", Exit::BadInput),
            ("no-storage", Exit::BadInput),
            ("no-pool", Exit::BadInput),
            ("vmid-taken", Exit::BadInput),
            ("memory-budget", Exit::BadInput),
            ("no-such-snapshot", Exit::BadInput),
            ("change-in-progress", Exit::BadInput),
            ("no-snapshots", Exit::Environment),
            ("foreign", Exit::BadInput),
            ("no-root", Exit::Environment),
            ("missing-tool", Exit::Environment),
            ("proxmox-denied", Exit::Environment),
            ("proxmox-unreachable", Exit::Environment),
            ("guest-stopped", Exit::NotReady),
            ("evidence-replayed", Exit::NotReady),
        ] {
            assert_eq!(exit_of(code), exit, "{code}");
        }
    }
}
