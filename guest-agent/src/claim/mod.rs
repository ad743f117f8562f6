//! The claim, from channels that the hypervisor alone writes: never from the root disk, never from the network.
//!
//! The first source that has a usable one wins: systemd credential, devIncus, PID 1's environment, DMI serial. A claim
//! that cannot be read is a problem, and the next source is asked: nobody but the hypervisor writes any of them, so
//! nothing is gained by going without, and a companion newer than this agent can leave an older form in a later one.
//! A virtual machine's kernel command line is the boot loader's, so the root disk's: what it names is not taken.

mod source;

pub(crate) use source::{Source, not_of_the_command_line};

use std::time::Duration;

use firstlight_shared::error::Chain;
use firstlight_shared::wire::Claim;
use source::SourceError;

use crate::sys::{Machine, Stopwatch};

/// Between two looks at a source that cannot answer now.
const PAUSE: Duration = Duration::from_millis(500);

/// A claim and where it came from.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub claim: Claim,
    pub source: Source,
}

/// The claim, if one was handed in that this version understands; the reasons against others stand in `problems`, and
/// nothing of a claim's text: it may be a secret.
///
/// A server of Incus that is down or on its way up is asked again until `patience` ends: a guest that goes on without its
/// claim takes the secrets that were put there for it for the golden's.
pub(crate) fn find(machine: &Machine, patience: Duration, problems: &mut Vec<String>) -> Option<Found> {
    if !machine.live {
        return None;
    }
    let look = || Source::ALL.map(|source| (source, source.look(machine)));
    look_again(look, patience, problems)
}

fn look_again<const N: usize>(
    look: impl Fn() -> [(Source, Looked); N],
    patience: Duration,
    problems: &mut Vec<String>,
) -> Option<Found> {
    let watch = Stopwatch::start();
    let mut is_told = false;
    loop {
        let looked = look();
        let may_come = looked.iter().any(|(_, looked)| looked.as_ref().is_err_and(SourceError::may_pass));
        let mut said = Vec::new();
        let found = choose(looked, &mut said);
        if found.is_some() || !may_come || watch.elapsed() >= patience {
            problems.append(&mut said);
            return found;
        }
        if !is_told {
            eprintln!("{}: asking again for up to {} s", said.join("; "), patience.as_secs());
            is_told = true;
        }
        std::thread::sleep(PAUSE);
    }
}

type Looked = Result<Option<zeroize::Zeroizing<Vec<u8>>>, SourceError>;

fn choose(sources: impl IntoIterator<Item = (Source, Looked)>, problems: &mut Vec<String>) -> Option<Found> {
    let mut found = None;
    for (source, looked) in sources {
        let parsed = match looked {
            Ok(None) => continue,
            Ok(Some(bytes)) if bytes.trim_ascii().is_empty() => continue,
            Ok(Some(bytes)) => Claim::parse(&bytes).map_err(|error| error.to_string()),
            Err(error) => Err(Chain(&error).to_string()),
        };
        match parsed {
            Ok(claim) => {
                found = Some(Found { claim, source });
                break;
            }
            Err(problem) => problems.push(format!("no claim from {source}: {problem}")),
        }
    }
    found
}

#[cfg(test)]
mod tests;
