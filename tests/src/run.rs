//! Running other programs: quietly, and with all they said if they fail.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

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

    /// # Panics
    /// It ended otherwise.
    #[track_caller]
    pub fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        self
    }

    /// # Panics
    /// One of these is on neither stream.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stdout.contains(word) || self.stderr.contains(word), "no `{word}` in {self:#?}");
        }
        self
    }

    /// An error as all are: what is wrong, with these words, and what to do.
    ///
    /// # Panics
    /// It is none.
    #[track_caller]
    pub fn tells(self, words: &[&str]) -> Self {
        let has = |start: &str| self.stderr.lines().any(|line| line.starts_with(start));
        assert!(has("error: ") && has("hint: "), "{self:#?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word} is not told: {self:#?}");
        }
        self
    }

    /// The document on standard output.
    ///
    /// # Panics
    /// There is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        use std::os::unix::process::ExitStatusExt as _;
        Self {
            code: output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0)),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs to the end without input, and keeps what was said.
pub fn run(command: &mut Command) -> Result<Ran> {
    let output = command.stdin(Stdio::null()).output().with_context(|| {
        format!("{} cannot be started; is it installed?", command.get_program().to_string_lossy())
    })?;
    Ok(output.into())
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

/// Copies a program that is to be run at once. Another process does it: what this one writes may be open in a child that
/// another thread is just making, and until that is another program, this one is busy (`ETXTBSY`).
pub fn copy_program(from: &Path, to: &Path) -> Result<()> {
    must(Command::new("cp").arg(from).arg(to)).map(drop)
}

/// A command from words.
pub fn command<const N: usize>(words: [&str; N]) -> Command {
    let mut words = words.into_iter();
    let mut command = Command::new(words.next().expect("callers name a program"));
    command.args(words);
    command
}

/// Keeps this process's variables of Firstlight from the program: whoever runs it says what holds for it.
pub fn without_variables(command: &mut Command) {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FIRSTLIGHT_"))
    {
        command.env_remove(name);
    }
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
