//! The claim, from channels that the hypervisor alone writes: never from the root disk, never from the network.
//!
//! The first source that has a usable one wins: systemd credential, devIncus, PID 1's environment, DMI serial. A claim
//! that cannot be read is a problem, and the next source is asked: nobody but the hypervisor writes any of them, so
//! nothing is gained by going without, and a companion newer than this agent can leave an older form in a later one.
//! A virtual machine's kernel command line is the boot loader's, so the root disk's: what it names is not taken.

mod source;

pub(crate) use source::{Source, not_of_the_command_line};

use firstlight_shared::error::Chain;
use firstlight_shared::wire::Claim;

use crate::sys::Machine;

/// A claim and where it came from.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub claim: Claim,
    pub source: Source,
}

/// The claim, if one was handed in that this version understands; the reasons against others stand in `problems`.
pub(crate) fn load(machine: &Machine, problems: &mut Vec<String>) -> Option<Claim> {
    find(machine, problems).map(|found| found.claim)
}

/// As [`load`], with the source. No problem holds anything of a claim's text: it may be a secret.
pub(crate) fn find(machine: &Machine, problems: &mut Vec<String>) -> Option<Found> {
    if !machine.live {
        return None;
    }
    choose(Source::ALL.map(|source| (source, source.look(machine))), problems)
}

type Looked = Result<Option<zeroize::Zeroizing<Vec<u8>>>, source::SourceError>;

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
