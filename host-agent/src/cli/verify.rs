//! `firstlight verify`: a guest asked once more, and evidence files checked without anybody.

use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use firstlight_shared::error::Chain;
use firstlight_shared::wire::{EVIDENCE_NAMESPACE, Evidence, Signed};
use serde_json::json;

use super::args::timeout;
use super::client::escape;
use super::failure::{Exit, Failure};
use super::interrupt::Interrupts;
use super::live::say;
use super::{Session, print, render};
use crate::bringup::{EvidenceKey, Verified, VerifiedState};
use crate::evidence::{
    COMPANION, Checked, FILE_LIMIT, KnownKeys, KnownKeysError, ONE_KEY, Refusal, Statement, check,
};
use crate::http::api::VerifyRequest;

/// How often it is asked whether the guest's timer has sent something.
const LOOK: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(super) struct VerifyArguments {
    /// The guest's name.
    #[arg(required_unless_present_any = ["file", "public_key"], conflicts_with_all = ["file", "public_key"])]
    guest: Option<String>,
    /// Write the evidence to this new file.
    #[arg(long, value_name = "FILE", requires = "guest")]
    out: Option<PathBuf>,
    /// How long to wait for the guest's timer, where nothing can be run in the guest: `90s`, `5m`, `1h`.
    #[arg(long, value_name = "TIME", default_value = "20m", value_parser = timeout)]
    timeout: Duration,
    /// Check this evidence file instead; needs no companion.
    #[arg(long, value_name = "FILE", conflicts_with = "public_key")]
    pub(super) file: Option<PathBuf>,
    /// Keys that you know: lines of allowed_signers or known_hosts; may be given several times.
    #[arg(long, value_name = "FILE", requires = "file")]
    known_keys: Vec<PathBuf>,
    /// The guest's host key, as a line or a file that holds it.
    #[arg(long, value_name = "KEY", requires = "file")]
    guest_key: Option<String>,
    /// The companion's key, as a line or a file that holds it.
    #[arg(long, value_name = "KEY", requires = "file")]
    companion_key: Option<String>,
    /// Print the key with which the companion signs evidence, as a line for --known-keys.
    #[arg(long)]
    public_key: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What needs a companion.
pub(super) async fn verify(session: &Session, arguments: &VerifyArguments) -> Result<Exit, Failure> {
    let Some(guest) = &arguments.guest else { return public_key(session, arguments.json).await };
    if let Some(out) = arguments.out.as_deref().filter(|out| out.exists()) {
        return Err(Failure::new(Exit::BadInput, format!("{} is there already", out.display()))
            .hint("name a file that is not there: evidence is not overwritten"));
    }
    let mut interrupts = Interrupts::listen()?;
    let Some(verified) = interrupts.unless(asked(session, guest, arguments.timeout)).await? else {
        return Ok(Exit::Interrupted);
    };
    match (&verified.file, verified.state) {
        (Some(file), _) => conclude(&verified, file, arguments),
        (None, state) => not_yet(&verified, state, arguments.json),
    }
}

/// Asks, and goes on looking while the guest's timer may still send something.
async fn asked(session: &Session, guest: &str, patience: Duration) -> Result<Verified, Failure> {
    let path = format!("/v1/guests/{}/verify", escape(guest));
    let mut verified: Verified = session.client.post(&path, &VerifyRequest::default()).await?;
    let begun = Instant::now();
    if verified.state == VerifiedState::Waiting {
        say(&format!(
            "nothing can be run in {guest}: waiting for its evidence timer, at most {} s",
            patience.as_secs()
        ));
    }
    while verified.state == VerifiedState::Waiting && begun.elapsed() < patience {
        tokio::time::sleep(LOOK.min(patience.saturating_sub(begun.elapsed()))).await;
        let request = VerifyRequest { since_ms: Some(verified.since_ms) };
        verified = session.client.post(&path, &request).await?;
    }
    Ok(verified)
}

fn conclude(verified: &Verified, file: &Signed, arguments: &VerifyArguments) -> Result<Exit, Failure> {
    let statement: Statement = serde_json::from_str(&file.text).map_err(|error| {
        Failure::new(Exit::NoAnswer, format!("the companion's evidence cannot be read: {error}"))
    })?;
    if let Some(out) = &arguments.out {
        write(out, file)?;
        say(&format!("evidence written to {}", out.display()));
    }
    print(&if arguments.json {
        render::json(verified)
    } else {
        let evidence =
            statement.evidence.open::<Evidence>(EVIDENCE_NAMESPACE).ok().map(|(evidence, _)| evidence);
        render::statement(&statement, evidence.as_ref(), &statement.comparison, None)
    })?;
    ended(&statement.guest, &statement.mismatches(&statement.comparison))
}

fn ended(guest: &str, mismatches: &[String]) -> Result<Exit, Failure> {
    let Some(first) = mismatches.first() else { return Ok(Exit::Ok) };
    let more = match mismatches.len() {
        1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    Err(Failure::new(Exit::NotReady, format!("guest {guest} does not hold: {first}{more}"))
        .hint("every line that says `no` under HOLDS is what to look at in the guest"))
}

fn not_yet(verified: &Verified, state: VerifiedState, json: bool) -> Result<Exit, Failure> {
    if json {
        print(&render::json(verified))?;
    }
    let guest = &verified.guest;
    let failure = match state {
        VerifiedState::AtNextBoot => {
            let timer = match verified.timer {
                Some(_) => "its evidence timer is not enabled",
                None => "its agent does not say that it has an evidence timer",
            };
            Failure::new(Exit::NotNow, format!("at next boot: nothing can be run in {guest}, and {timer}"))
                .hint("in the guest: systemctl enable --now firstlight-evidence.timer")
        }
        _ => Failure::new(Exit::NotNow, format!("not yet: {guest} has sent no evidence within the time"))
            .hint("its timer is enabled: wait longer with --timeout"),
    };
    Err(failure)
}

fn write(out: &Path, file: &Signed) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(Exit::Environment, format!("{} cannot be written: {error}", out.display()))
            .hint("the companion keeps the evidence all the same; ask again with another --out")
    };
    let mut options = std::fs::OpenOptions::new();
    let mut written = options.write(true).create_new(true).mode(0o644).open(out).map_err(failed)?;
    written.write_all(render::json(file).as_bytes()).map_err(failed)?;
    written.sync_all().map_err(failed)
}

async fn public_key(session: &Session, json: bool) -> Result<Exit, Failure> {
    let key: EvidenceKey = session.client.get("/v1/evidence-key").await?;
    print(&if json { render::json(&key) } else { format!("{}\n", key.allowed_signers) })
}

/// `--file`: needs no companion and no store.
pub(super) fn offline(path: &Path, arguments: &VerifyArguments) -> Result<Exit, Failure> {
    let bytes = read(path)?;
    let known = known(arguments)?;
    let checked = check(&bytes, &known).map_err(|refusal| refused(path, refusal))?;
    print(&if arguments.json { render::json(&told(&checked)) } else { shown(&checked) })?;
    ended(&checked.guest, &checked.mismatches)
}

fn told(checked: &Checked) -> serde_json::Value {
    json!({
        "holds": checked.holds,
        "guest": checked.guest,
        "signed_by": { "guest": checked.signed_by[0], "companion": checked.signed_by[1] },
        "mismatches": checked.mismatches,
        "comparison": checked.comparison,
        "problems": checked.problems,
        "asked": checked.statement.asked,
        "answered_at_ms": checked.statement.answered_at_ms,
        "evidence": checked.evidence,
    })
}

fn shown(checked: &Checked) -> String {
    render::statement(
        &checked.statement,
        Some(&checked.evidence),
        &checked.comparison,
        Some(&checked.signed_by),
    )
}

fn refused(path: &Path, refusal: Refusal) -> Failure {
    let hint = match refusal.code {
        "evidence-unknown-key" => {
            "--known-keys FILE names the keys that you trust: of the guest (firstlight known-hosts) and of the companion \
             (firstlight verify --public-key), from somebody whom you trust"
        }
        "evidence-bad-signature" => "the file proves nothing: get it anew from whoever made it",
        _ => "is it a file of `firstlight verify GUEST --out FILE`, whole and as it was written?",
    };
    Failure::new(Exit::BadInput, format!("{}: refused: {}", path.display(), refusal.message)).hint(hint)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let opened =
        std::fs::File::open(path).and_then(|file| file.take(FILE_LIMIT as u64 + 1).read_to_end(&mut bytes));
    match opened {
        Ok(_) => Ok(bytes),
        Err(error) => {
            Err(Failure::new(Exit::BadInput, format!("{} cannot be read: {error}", path.display()))
                .hint("name the file that `firstlight verify GUEST --out FILE` wrote"))
        }
    }
}

fn known(arguments: &VerifyArguments) -> Result<KnownKeys, Failure> {
    let mut known = KnownKeys::default();
    for path in &arguments.known_keys {
        let text = String::from_utf8_lossy(&read(path)?).into_owned();
        let keys = KnownKeys::parse(&text).map_err(|error| wrong_key(&path.display().to_string(), &error))?;
        known.extend(keys);
    }
    for (option, names, given) in [
        ("--guest-key", ONE_KEY, &arguments.guest_key),
        ("--companion-key", COMPANION, &arguments.companion_key),
    ] {
        let Some(given) = given else { continue };
        // A key itself, or the file that holds it.
        let line = match given.split_whitespace().count() {
            1 => String::from_utf8_lossy(&read(Path::new(given))?).trim().to_owned(),
            _ => given.clone(),
        };
        known.add(names, &line).map_err(|error| wrong_key(option, &error))?;
    }
    Ok(known)
}

fn wrong_key(place: &str, error: &KnownKeysError) -> Failure {
    Failure::new(Exit::BadInput, format!("{place}: {}", Chain(error)))
        .hint("lines of allowed_signers or known_hosts are taken, or `ssh-ed25519 AAAA...`")
}
