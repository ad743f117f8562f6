//! Keeps a known_hosts file current: whatever changes of a guest, its lines are asked for anew.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::super::client::Lines;
use super::super::failure::{Exit, Failure};
use super::super::interrupt::Interrupts;
use super::super::live::say;
use super::Session;
use super::args::KnownHostsArguments;
use super::{file, hosts, text_of};
use crate::ssh_trust::block::with_block;
use crate::ssh_trust::known_hosts::Form;

/// Changes that come so close to each other are one.
const SETTLE: Duration = Duration::from_millis(100);
/// At most so many are: a fleet that never rests is written all the same.
const TOGETHER: usize = 100;
/// Between attempts to reach a companion that went away.
const PAUSE: Duration = Duration::from_secs(1);

/// What stands in the file, without salts: the same again is not written.
#[derive(Default)]
struct Written {
    text: Option<String>,
    lost: bool,
}

pub(super) async fn follow(
    session: &Session,
    arguments: &KnownHostsArguments,
    file: &Path,
) -> Result<Exit, Failure> {
    let mut interrupts = Interrupts::listen()?;
    let followed = async {
        let mut written = Written::default();
        loop {
            let Err(failure) = until_it_ends(session, arguments, file, &mut written).await else { continue };
            if failure.exit != Exit::NoAnswer || written.text.is_none() {
                return Err::<(), _>(failure);
            }
            if !std::mem::replace(&mut written.lost, true) {
                say("the companion went away: the file stays as it is until it is back");
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    interrupts.unless(followed).await?;
    Ok(Exit::Ok)
}

/// Follows until the companion goes away.
async fn until_it_ends(
    session: &Session,
    arguments: &KnownHostsArguments,
    file: &Path,
    written: &mut Written,
) -> Result<(), Failure> {
    let mut lines = session.client.lines("/v1/watch").await?;
    loop {
        next(&mut lines).await?;
        for _ in 0..TOGETHER {
            match tokio::time::timeout(SETTLE, next(&mut lines)).await {
                Ok(more) => more?,
                Err(_) => break,
            }
        }
        refresh(session, arguments, file, written).await?;
    }
}

async fn next(lines: &mut Lines) -> Result<(), Failure> {
    let line = lines.next::<Value>().await;
    line.map(drop).map_err(|_| Failure::new(Exit::NoAnswer, "the companion went away"))
}

async fn refresh(
    session: &Session,
    arguments: &KnownHostsArguments,
    path: &Path,
    written: &mut Written,
) -> Result<(), Failure> {
    // All of them: one that is named and not ready yet is no error here.
    let mut hosts = hosts(session, "").await?;
    let named = |guest: &String| arguments.guests.is_empty() || arguments.guests.contains(guest);
    hosts.hosts.retain(|host| named(&host.guest));
    if std::mem::take(&mut written.lost) {
        say("the companion is back");
    }
    let plain = text_of(&hosts, Form { port: arguments.port, hashed: false });
    if written.text.as_ref() == Some(&plain) {
        return Ok(());
    }
    let text = text_of(&hosts, Form { port: arguments.port, hashed: arguments.hash });
    let unusable =
        |what: &dyn std::fmt::Display| Failure::new(Exit::Environment, format!("{}: {what}", path.display()));
    let own = "name a file that you may write to, in a folder that you may write to";
    let old = file::read(path).map_err(|error| unusable(&error).hint(own))?;
    let new = with_block(&old, &text)
        .map_err(|what| unusable(&what).hint("remove what is left of the block, and begin again"))?;
    if new != old {
        file::replace(path, &new).map_err(|error| unusable(&error).hint(own))?;
    }
    say(&format!("{}: {} guests", path.display(), hosts.hosts.len()));
    written.text = Some(plain);
    Ok(())
}
