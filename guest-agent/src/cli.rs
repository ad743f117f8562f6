//! The command line: arguments as types, and what each end means to the caller.

use std::ffi::OsString;
use std::mem::take;
use std::path::PathBuf;
use std::time::Duration;

use firstlight_shared::wire::is_nonce;

use crate::config::Span;
use crate::report::evidence;
use crate::seal::Options;

pub(crate) const USAGE: &str = "\
firstlight-guest: gives a clone its own identity, checks it, and reports

Usage: firstlight-guest [--root DIR] COMMAND

Commands:
  identity          give this machine its own identity (run early in the boot, before sshd);
                    in an image its stamp counts for nothing: every clone renews again
  report [--again]  make pending keys, run the checks, report to the host; --again makes a new report in this boot
  verify [--json] [--nonce HEX] [--within TIME]
         [--send]   run the checks now and show what they say; change nothing. --json prints evidence, signed with the
                    host key over the nonce; a check has 2s (--within) to come right; --send fetches a nonce from the
                    companion that acknowledged this machine once, and sends it the evidence
  plan [--json]     show what `identity` would do, change nothing
  status [--json]   show stamp, identity, report and delivery
  keys              make the host keys that are missing, of all configured types, now
  seal [--dry-run] [--keep ITEM]... [--json] [--live] [--program FILE]
                    make an image a golden: this program and its units in it and enabled, what clones must not share
                    taken away (docs/identity-items.md), and golden.json. Nothing is changed where something needs a
                    decision first; --keep leaves an item as it is. The root in DIR, or / in a chroot or a container
                    that only builds; the system that runs only with --live, right before it is switched off
  install [--dry-run] [--json] [--live] [--program FILE]
                    the first half of seal: this program and its units, enabled; the identity is left as it is
  adopt [--json]    stamp this live machine as it is: nothing is renewed, now or at the next boot; its host keys are
                    verified; an old stamp that cannot be read is kept aside, a suspicion is settled

Options:
  --root DIR        work on the root in DIR instead of / (seal, install, identity, keys, plan and status). Not adopt: a root that does not
                    run may be an image, and its clones would all keep one identity
  -h, --help        show this
  -V, --version     show the version

Exit codes:
  0  done
  1  identity: no fresh host key could be made, or a key of the golden is still there or may be;
     report: it could not be written; adopt: the stamp could not be written;
     keys: one could not be made; seal, install: something could not be done, the rest was
  2  wrong arguments
  3  the root cannot be used; seal: it is none of a system with systemd
  4  report, verify --send: the host refused it
  5  report, verify --send: not delivered in time, or no usable address of the host
  6  adopt: refused, nothing was changed: this machine is stamped already, has a key or machine-id of the golden,
     has no whole host key or no machine-id, or systemd did not boot it (a chroot);
     seal, install: refused, nothing was changed: the system is running, or somebody has to decide
  7  verify: the evidence was made, and this guest is not ready
";

/// How the program ends; the numbers are in [`USAGE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum End {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Root = 3,
    Refused = 4,
    NotDelivered = 5,
    Declined = 6,
    NotReady = 7,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Identity,
    Keys,
    Report { again: bool },
    Plan { json: bool },
    Status { json: bool },
    Adopt { json: bool },
    Seal { options: Options, json: bool },
    Verify { json: bool, nonce: Option<String>, within: Duration },
    Send { within: Duration },
    Help,
    Version,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub root: PathBuf,
    pub command: Command,
}

/// Reads the arguments after the program's name.
///
/// # Errors
/// One line that says what is wrong.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, String> {
    let mut typed = Typed::read(arguments)?;
    let command = typed.take_command()?;
    typed.nothing_is_left()?;
    let live_only = match command {
        Command::Report { .. } => Some("report"),
        Command::Verify { .. } | Command::Send { .. } => Some("verify"),
        Command::Adopt { .. } => Some("adopt"),
        _ => None,
    };
    match (live_only, typed.root) {
        (Some(name), Some(_)) => Err(format!("{name} works on the running system only, without --root")),
        (_, root) => Ok(Arguments { root: root.unwrap_or_else(|| "/".into()), command }),
    }
}

/// What was typed. A command takes the options that go with it; what is left goes with another one.
#[derive(Default)]
struct Typed {
    root: Option<PathBuf>,
    command: Option<String>,
    json: bool,
    again: bool,
    send: bool,
    nonce: Option<String>,
    within: Option<Duration>,
    options: Options,
}

impl Typed {
    fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut arguments = arguments.into_iter();
        let mut typed = Self::default();
        while let Some(argument) = arguments.next() {
            let text = argument.to_str().ok_or("an argument is not UTF-8")?;
            match text {
                // Whatever else is typed.
                "-h" | "--help" | "-V" | "--version" => {
                    return Ok(Self { command: Some(text.to_owned()), ..Self::default() });
                }
                "--root" => set_root(&mut typed.root, arguments.next())?,
                "--json" => typed.json = true,
                "--again" => typed.again = true,
                "--dry-run" => typed.options.dry_run = true,
                "--live" => typed.options.live = true,
                "--keep" => typed.options.keep.push(item_of(arguments.next())?),
                "--program" => set_program(&mut typed.options, arguments.next())?,
                "--send" => typed.send = true,
                "--nonce" => typed.nonce = Some(nonce_of(arguments.next())?),
                "--within" => typed.within = Some(span_of(arguments.next())?),
                "identity" | "keys" | "report" | "plan" | "status" | "adopt" | "verify" | "seal"
                | "install"
                    if typed.command.is_none() =>
                {
                    typed.command = Some(text.to_owned());
                }
                _ => match text.split_once('=') {
                    Some(("--keep", name)) => typed.options.keep.push(item_of(Some(name.into()))?),
                    Some(("--program", file)) => set_program(&mut typed.options, Some(file.into()))?,
                    Some(("--root", folder)) => set_root(&mut typed.root, Some(folder.into()))?,
                    _ => {
                        let shown = firstlight_shared::text::escape(text, 80);
                        return Err(format!("unexpected argument `{shown}`"));
                    }
                },
            }
        }
        Ok(typed)
    }

    fn take_command(&mut self) -> Result<Command, String> {
        let name = self.command.take().ok_or("a command is missing")?;
        Ok(match name.as_str() {
            "-h" | "--help" => Command::Help,
            "-V" | "--version" => Command::Version,
            "keys" => Command::Keys,
            "plan" => Command::Plan { json: take(&mut self.json) },
            "status" => Command::Status { json: take(&mut self.json) },
            "adopt" => Command::Adopt { json: take(&mut self.json) },
            "report" => Command::Report { again: take(&mut self.again) },
            "seal" => Command::Seal { options: take(&mut self.options), json: take(&mut self.json) },
            "install" if self.options.keep.is_empty() => {
                let options = Options { only_install: true, ..take(&mut self.options) };
                Command::Seal { options, json: take(&mut self.json) }
            }
            "install" => return Err("--keep goes with seal only: install keeps everything".to_owned()),
            "verify" if take(&mut self.send) => {
                Command::Send { within: self.within.take().unwrap_or(evidence::WITHIN) }
            }
            "verify" => Command::Verify {
                json: take(&mut self.json),
                nonce: self.nonce.take(),
                within: self.within.take().unwrap_or(evidence::WITHIN),
            },
            _ => Command::Identity,
        })
    }

    fn nothing_is_left(&self) -> Result<(), String> {
        let left = if self.json {
            "--json goes with seal, install, plan, status, adopt and verify only"
        } else if self.options != Options::default() {
            "--dry-run, --live and --program go with seal and install only, --keep with seal"
        } else if self.nonce.is_some() || self.within.is_some() || self.send {
            "--nonce, --within and --send go with verify only, and --nonce not with --send"
        } else if self.again {
            "--again goes with report only"
        } else {
            return Ok(());
        };
        Err(left.to_owned())
    }
}

fn item_of(value: Option<OsString>) -> Result<String, String> {
    let name = value.and_then(|value| value.into_string().ok()).unwrap_or_default();
    match firstlight_shared::items::named(&name) {
        Some(item) => Ok(item.name.to_owned()),
        None => Err(format!(
            "--keep needs the name of an item of docs/identity-items.md, machine-id for one; there is no `{}`",
            firstlight_shared::text::escape(&name, 80)
        )),
    }
}

fn set_program(options: &mut Options, value: Option<OsString>) -> Result<(), String> {
    let value = value.filter(|value| !value.is_empty()).ok_or("--program needs a file")?;
    match options.program.replace(value.into()) {
        None => Ok(()),
        Some(_) => Err("--program is given twice".to_owned()),
    }
}

fn nonce_of(value: Option<OsString>) -> Result<String, String> {
    let value = value.and_then(|value| value.into_string().ok()).filter(|value| is_nonce(value));
    value.ok_or_else(|| "--nonce needs 32 to 160 hexadecimal digits".to_owned())
}

fn span_of(value: Option<OsString>) -> Result<Duration, String> {
    let value =
        value.and_then(|value| value.into_string().ok()).ok_or("--within needs a time span, 10s for one")?;
    Span::try_from(value).map(|span| span.0)
}

fn set_root(root: &mut Option<PathBuf>, value: Option<OsString>) -> Result<(), String> {
    let value = value.filter(|value| !value.is_empty()).ok_or("--root needs a folder")?;
    match root.replace(value.into()) {
        None => Ok(()),
        Some(_) => Err("--root is given twice".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Arguments, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn commands_and_options_come_in_any_order() {
        for line in ["--root /x plan --json", "plan --json --root=/x", "plan --root /x --json"] {
            let expected = Arguments { root: "/x".into(), command: Command::Plan { json: true } };
            assert_eq!(parsed(line), Ok(expected), "{line}");
        }
        assert_eq!(parsed("status --help").map(|a| a.command), Ok(Command::Help));
        assert_eq!(parsed("adopt --json").map(|a| a.command), Ok(Command::Adopt { json: true }));
        assert_eq!(parsed("report --again").map(|a| a.command), Ok(Command::Report { again: true }));
    }

    #[test]
    fn an_image_is_sealed_or_only_installed_into() {
        let sealed =
            parsed("--root /x seal --keep machine-id --keep=hostname --dry-run --json --live --program=/p");
        let options = Options {
            only_install: false,
            dry_run: true,
            live: true,
            keep: vec!["machine-id".to_owned(), "hostname".to_owned()],
            program: Some("/p".into()),
        };
        assert_eq!(
            sealed,
            Ok(Arguments { root: "/x".into(), command: Command::Seal { options, json: true } })
        );
        let options = Options { only_install: true, ..Options::default() };
        assert_eq!(parsed("install").map(|a| a.command), Ok(Command::Seal { options, json: false }));
    }

    #[test]
    fn evidence_is_asked_for_with_a_challenge() {
        let nonce = "0f".repeat(16);
        let asked = parsed(&format!("verify --json --nonce {nonce} --within 10s")).map(|asked| asked.command);
        let within = Duration::from_secs(10);
        assert_eq!(asked, Ok(Command::Verify { json: true, nonce: Some(nonce), within }));
        assert_eq!(
            parsed("verify --send").map(|a| a.command),
            Ok(Command::Send { within: evidence::WITHIN })
        );
        let plain = Command::Verify { json: false, nonce: None, within: evidence::WITHIN };
        assert_eq!(parsed("verify").map(|asked| asked.command), Ok(plain));
    }

    #[test]
    fn everything_else_is_an_error() {
        for line in [
            "",
            "x",
            "identity x",
            "identity --json",
            "keys --json",
            "plan --again",
            "--root",
            "--root=",
            "plan plan",
            "--root a --root b plan",
            "report --root /x",
            "adopt --root /x",
            "adopt --again",
            "-x",
            "identity --yes",
            "identity --dry-run",
            "plan --keep machine-id",
            "seal --keep",
            "seal --keep no-such-item",
            "seal --again",
            "install --keep machine-id",
            "seal --program",
            "seal --program a --program b",
            "verify --nonce 0f",
            "verify --nonce",
            "verify --within 2",
            "verify --root /x",
            "plan --within 2s",
            "report --send",
            "verify --send --json",
            "verify --send --nonce 0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
        use std::os::unix::ffi::OsStringExt;
        assert!(parse([OsString::from_vec(vec![0xff])]).is_err());
    }
}
