//! `firstlight-guest`: gives a clone its own identity before anything uses the golden's, and reports that it is ready.

mod accounts;
mod agreement;
mod beacon;
mod bus;
mod channel;
mod checks;
mod claim;
mod cli;
mod config;
mod dev_incus;
mod exchange;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod golden;
mod hostnamed;
mod identity;
mod items;
mod keys;
mod paths;
mod provider;
mod report;
mod seal;
mod secrets;
mod show;
mod sshd;
mod sys;
mod tls;
mod virtualization;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use cli::{Command, End};
use firstlight_shared::error::{Chain, Code};
use firstlight_shared::wire::ReportState;
use report::{ReportEnd, evidence};
use sys::Machine;

/// With its line end, and kept whole in the program's bytes: `firstlight golden lint` reads it there, without running an
/// image's program.
static VERSION: &str = concat!("firstlight-guest ", env!("CARGO_PKG_VERSION"), "\n");

/// Runs one command of the program; `arguments` are those after its name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let end = match cli::parse(arguments) {
        Ok(arguments) => run(arguments),
        Err(problem) => {
            eprint!("error: {problem}\n\n{}", cli::USAGE);
            End::Usage
        }
    };
    ExitCode::from(end as u8)
}

fn run(arguments: cli::Arguments) -> End {
    match arguments.command {
        Command::Help => return print(cli::USAGE.trim_end()),
        Command::Version => return print(std::hint::black_box(VERSION).trim_end()),
        _ => {}
    }
    let mut machine = match Machine::open(&arguments.root) {
        Ok(machine) => machine,
        Err(error) => {
            eprintln!("error: {}", Chain(&error));
            return End::Root;
        }
    };
    match arguments.command {
        Command::Identity => {
            if machine.is_chroot() {
                machine.live = false;
            }
            run_identity(&machine)
        }
        Command::Adopt { json } => run_adopt(&machine, json),
        Command::Keys => run_keys(&machine),
        Command::Report { again } => run_report(&machine, again),
        Command::Send { within } => run_send(&machine, within),
        Command::Verify { json, nonce, within } => run_verify(&machine, json, nonce, within),
        Command::Plan { json } => {
            let plan = identity::plan_with_items(&machine, &identity::observe(&machine));
            print(&if json { show::json(&plan) } else { show::render_plan(&plan) })
        }
        Command::Status { json } => {
            let status = show::status(&machine);
            print(&if json { show::json(&status) } else { show::render_status(&status) })
        }
        Command::Seal { options, json } => run_seal(machine, &options, json),
        Command::Help | Command::Version => End::Done,
    }
}

/// Writes to standard output; a reader that has gone away is no error.
fn print(text: &str) -> End {
    let _ = writeln!(std::io::stdout(), "{text}");
    End::Done
}

fn run_identity(machine: &Machine) -> End {
    let mut outcome = identity::run(machine);
    if let Err(problem) = beacon::after_identity(machine, &outcome) {
        outcome.identity.problems.push(problem);
        // If this cannot be written either, the problem still stands in the log.
        let _ = identity::save_outcome(&machine.root, &outcome);
    }
    if outcome.reboot {
        reboot(machine, &mut outcome);
    }
    eprintln!("{}", show::render_outcome(&outcome));
    match &outcome.failure {
        None => End::Done,
        Some(failure) => {
            // Said here and now: whether a report will ever get out of this machine is open.
            machine.tell_console(&format!("identity FAILED, ssh stays down: {}", failure.message));
            End::Failed
        }
    }
}

fn reboot(machine: &Machine, outcome: &mut identity::Outcome) {
    machine.tell_console("this clone has a machine-id of its own now and reboots once to use it");
    if let Err(error) = machine.reboot() {
        outcome.reboot = false;
        let problem = format!("the reboot that guest.toml wants did not come: {}", Chain(&error));
        outcome.identity.problems.push(problem);
        // If this cannot be written either, the problem still stands in the log.
        let _ = identity::save_outcome(&machine.root, outcome);
    }
}

fn run_adopt(machine: &Machine, json: bool) -> End {
    let refused = if machine.is_booted() {
        match identity::adopt(machine) {
            Ok(mut adopted) => {
                adopted.problems.extend(beacon::adopted(machine, &adopted.ssh_host_keys).err());
                return print(&if json { show::json(&adopted) } else { show::render_adopted(&adopted) });
            }
            Err(error) => error,
        }
    } else {
        identity::AdoptError::NotBooted
    };
    let message = Chain(&refused).to_string();
    if json {
        print(&show::json(&show::Refused { code: refused.code(), message: &message }));
    }
    eprintln!("error: {message}");
    if refused.is_refusal() { End::Declined } else { End::Failed }
}

fn run_seal(machine: Machine, options: &seal::Options, json: bool) -> End {
    match seal::run(machine, options) {
        Ok(sealed) => {
            print(&if json { show::json(&sealed) } else { seal::render(&sealed, options.dry_run) });
            match sealed.state {
                seal::State::Done | seal::State::Planned | seal::State::Unchanged => End::Done,
                seal::State::Refused => End::Declined,
                seal::State::Failed => End::Failed,
            }
        }
        Err(error) => {
            let message = error.to_string();
            if json {
                print(&show::json(&show::Refused { code: error.code(), message: &message }));
            }
            eprintln!("error: {message}");
            match error {
                seal::SealError::InUse { .. } | seal::SealError::Unseen => End::Declined,
                seal::SealError::NoSystem => End::Root,
            }
        }
    }
}

fn run_keys(machine: &Machine) -> End {
    let mut problems = Vec::new();
    let settings = config::load(&machine.root, &mut problems);
    problems.iter().for_each(|problem| eprintln!("problem: {problem}"));
    match keys::make_missing(&machine.root, |keys| settings.host_key_types(keys)) {
        Ok(made) => {
            let lines = made.iter().map(|key| format!("{} {}", key.fingerprint(), key.kind.as_str()));
            lines.for_each(|line| eprintln!("made {line}"));
            End::Done
        }
        Err(problem) => {
            eprintln!("error: {problem}");
            End::Failed
        }
    }
}

fn runtime() -> Option<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.inspect_err(|error| eprintln!("error: the runtime cannot start: {error}")).ok()
}

fn run_verify(machine: &Machine, json: bool, nonce: Option<String>, within: Duration) -> End {
    let Some(runtime) = runtime() else { return End::Failed };
    let proof = match runtime.block_on(evidence::make(machine, nonce, within)) {
        Ok(proof) => proof,
        Err(error) => {
            eprintln!("error: {}", evidence::said(&error));
            return End::Failed;
        }
    };
    print(&if json { show::json(&proof.signed) } else { evidence::render(&proof.evidence) });
    if proof.evidence.report.state == ReportState::Ready { End::Done } else { End::NotReady }
}

fn run_report(machine: &Machine, again: bool) -> End {
    let Some(runtime) = runtime() else { return End::Failed };
    delivery_end(runtime.block_on(report::run(machine, again)))
}

fn run_send(machine: &Machine, within: Duration) -> End {
    let Some(runtime) = runtime() else { return End::Failed };
    delivery_end(runtime.block_on(report::send(machine, within)))
}

fn delivery_end(end: ReportEnd) -> End {
    match end {
        ReportEnd::Done => End::Done,
        ReportEnd::NotWritten => End::Failed,
        ReportEnd::Refused => End::Refused,
        ReportEnd::GaveUp => End::NotDelivered,
    }
}
