//! Running other programs: quietly, and with all they said if they fail.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// What a program did.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Exit code; 128 and the signal's number if a signal ended it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn ok(&self) -> bool {
        self.code == 0
    }

    /// Both outputs, for messages.
    pub fn said(&self) -> String {
        format!("exit code {}\n--- stdout\n{}\n--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}

/// Runs to the end without input, and keeps what was said.
pub fn run(command: &mut Command) -> Result<Ran> {
    use std::os::unix::process::ExitStatusExt as _;
    let output = command.stdin(Stdio::null()).output().with_context(|| {
        format!("{} cannot be started; is it installed?", command.get_program().to_string_lossy())
    })?;
    let code = output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0));
    Ok(Ran {
        code,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// As [`run`], but failure of the program is an error that carries its last lines. Gives stdout.
pub fn must(command: &mut Command) -> Result<String> {
    let ran = run(command)?;
    if !ran.ok() {
        bail!(
            "`{}` failed with {}:\n{}",
            shown(command),
            ran.code,
            tail(&format!("{}{}", ran.stdout, ran.stderr), 40)
        );
    }
    Ok(ran.stdout)
}

/// A command from words.
pub fn command<const N: usize>(words: [&str; N]) -> Command {
    let mut words = words.into_iter();
    let mut command = Command::new(words.next().expect("callers name a program"));
    command.args(words);
    command
}

/// The last lines of a text.
pub fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
