//! Secrets on their way: whether this companion gives them out, and what is in them. Nothing here is kept.

mod file;
mod program;
mod rules;

use zeroize::Zeroizing;

pub use rules::SecretRules;

use crate::backend::{GuestPlan, SecretFile, SecretPlan, SecretSource, secrets_problem};
use crate::outcome::Fault;

/// In bytes: keys and tokens are far smaller.
const MOST: usize = 64 << 10;

/// What is surely wrong with a guest's secrets. Looks at files, and opens and runs nothing.
pub(super) fn look_ahead(plan: &GuestPlan, rules: &SecretRules) -> Result<(), Fault> {
    if let Some((field, value, problem)) = secrets_problem(&plan.secrets) {
        let message = format!("guest {}: {field} = {value:?}: {problem}", plan.name);
        return Err(Fault::new("bad-secret", message));
    }
    plan.secrets.iter().try_for_each(|secret| {
        rules.check(&secret.source).map_err(|fault| of(secret, fault))?;
        match &secret.source {
            SecretSource::File(path) => file::look(path, rules),
            SecretSource::Command(words) => program::look(words),
        }
        .map_err(|fault| of(secret, fault))
    })
}

/// Reads every source, as the companion's own user.
pub(super) async fn read_all(plan: &GuestPlan, rules: &SecretRules) -> Result<Vec<SecretFile>, Fault> {
    let mut files = Vec::new();
    for secret in &plan.secrets {
        rules.check(&secret.source).map_err(|fault| of(secret, fault))?;
        let content = match &secret.source {
            SecretSource::File(path) => file::read(path, rules),
            SecretSource::Command(words) => program::run(words, plan.name.as_str()).await,
        };
        files.push(SecretFile {
            path: secret.path.clone(),
            mode: secret.mode,
            owner: secret.owner.clone(),
            content: content.and_then(usable).map_err(|fault| of(secret, fault))?,
        });
    }
    Ok(files)
}

fn usable(content: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, Fault> {
    if content.is_empty() {
        return Err(Fault::new("secret-empty", "there is nothing in it"));
    }
    Ok(content)
}

/// Which secret it is about.
fn of(secret: &SecretPlan, fault: Fault) -> Fault {
    let path = secret.path.display();
    Fault { message: format!("the secret {path} (from {}): {}", secret.source, fault.message), ..fault }
}

/// The user whose rights count, for messages.
fn companions_user() -> String {
    let uid = nix::unistd::geteuid();
    let found = nix::unistd::User::from_uid(uid).ok().flatten();
    found.map_or_else(|| uid.to_string(), |user| user.name)
}

#[cfg(test)]
mod tests;
