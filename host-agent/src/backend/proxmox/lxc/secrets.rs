//! Secrets in the environment of a container whose spec accepts that. The guest writes them to their places; they are taken out
//! together with the claim.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use firstlight_shared::paths::SECRET_VARIABLE;
use zeroize::Zeroizing;

use super::{Act, Fault, Placement, Proxmox, act_of_look};
use crate::backend::SecretFile;
use crate::backend::proxmox::client::endpoint::config::ChangeConfig;
use crate::backend::proxmox::fault::act_of;
use crate::backend::proxmox::standing;
use serde_json::json;

/// Of all secrets together, in bytes: execve(2) takes 128 KiB for one variable, and the configuration is one small file.
const MOST: usize = 16 << 10;

impl Proxmox {
    pub(in crate::backend::proxmox) async fn deliver_to_container(
        &self,
        placement: &Placement,
        secrets: &[SecretFile],
    ) -> Act {
        if let Err(fault) = check(placement, secrets) {
            return Act::Refused(fault);
        }
        if let Ok(guest) = standing::target(placement) {
            self.recent.forget(guest.vmid);
        }
        let ours = match self.ours(placement).await {
            Ok(ours) => ours,
            Err(fault) => return act_of_look(fault),
        };
        let env = with_secrets(ours.config.get("env").unwrap_or_default(), secrets);
        if ours.config.get("env") == Some(env.as_str()) {
            return Act::Applied(json!({}));
        }
        let digest = ours.config.digest().map(str::to_owned);
        let set = vec![("env".to_owned(), env.to_string())];
        let call = ChangeConfig { guest: ours.guest, set, delete: Vec::new(), digest };
        if let Err(error) = self.client.send(&call).await {
            return without_content(act_of(&error), secrets);
        }
        // What a call answers is no proof.
        match self.ours(placement).await {
            Ok(now) if now.config.get("env") == Some(env.as_str()) => Act::Applied(json!({})),
            Ok(_) => Act::Unknown(Fault::new("not-as-wanted", "the environment was taken, and is not there")),
            Err(fault) => act_of_look(fault),
        }
    }
}

fn check(placement: &Placement, secrets: &[SecretFile]) -> Result<(), Fault> {
    if placement.plan.secrets.iter().any(|secret| !secret.allow_env) {
        return Err(Fault::new(
            "no-safe-channel",
            "only a spec that says so gets a secret into an environment",
        ));
    }
    let bytes: usize = secrets.iter().map(|secret| secret.content.len()).sum();
    if bytes > MOST {
        let message = format!("an environment takes {MOST} bytes of secrets, and these are {bytes}");
        return Err(Fault::new("secret-too-large", message));
    }
    Ok(())
}

/// What else is there stays; an earlier delivery's go.
fn with_secrets(env: &str, secrets: &[SecretFile]) -> Zeroizing<String> {
    let others = env.split('\0').filter(|line| !line.is_empty() && !line.starts_with(SECRET_VARIABLE));
    let mut all = Zeroizing::new(others.collect::<Vec<_>>().join("\0"));
    for (index, secret) in secrets.iter().enumerate() {
        if !all.is_empty() {
            all.push('\0');
        }
        let text = Zeroizing::new(BASE64_STANDARD.encode(&*secret.content));
        for part in [SECRET_VARIABLE, index.to_string().as_str(), "=", text.as_str()] {
            all.push_str(part);
        }
    }
    all
}

/// A server that repeats what it refuses gives the secret away.
fn without_content(act: Act, secrets: &[SecretFile]) -> Act {
    let hidden = |fault: Fault| {
        let gives_away = secrets.iter().any(|secret| {
            let text = Zeroizing::new(BASE64_STANDARD.encode(&*secret.content));
            // A part is enough: long values are shown cut off.
            text.get(..8.min(text.len())).is_some_and(|part| fault.message.contains(part))
        });
        let message = "Proxmox refused the environment; what it said is not shown, it repeats what was sent";
        if gives_away { Fault { message: message.to_owned(), hint: None, ..fault } } else { fault }
    };
    match act {
        Act::Refused(fault) => Act::Refused(hidden(fault)),
        Act::Unknown(fault) => Act::Unknown(hidden(fault)),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(content: &[u8]) -> SecretFile {
        SecretFile {
            path: "/etc/key".into(),
            mode: "0400".parse().unwrap(),
            owner: "root:root".parse().unwrap(),
            content: Zeroizing::new(content.to_vec()),
        }
    }

    #[test]
    fn secrets_stand_beside_what_is_there_and_once() {
        let both = [secret(b"abc"), secret(b"\n\0")];
        let first = with_secrets("A=1\0FIRSTLIGHT_CLAIM=x", &both);
        let wanted = "A=1\0FIRSTLIGHT_CLAIM=x\0FIRSTLIGHT_SECRET_0=YWJj\0FIRSTLIGHT_SECRET_1=CgA=";
        assert_eq!(first.as_str(), wanted);
        assert_eq!(with_secrets(&first, &both).as_str(), wanted);
        assert_eq!(
            with_secrets(&first, &both[..1]).as_str(),
            "A=1\0FIRSTLIGHT_CLAIM=x\0FIRSTLIGHT_SECRET_0=YWJj"
        );
        assert_eq!(with_secrets("", &both[..1]).as_str(), "FIRSTLIGHT_SECRET_0=YWJj");
    }

    #[test]
    fn what_a_server_repeats_is_not_shown() {
        let secrets = [secret(b"hunter2hunter2")];
        let text = BASE64_STANDARD.encode(b"hunter2hunter2");
        let refused = |message: &str| Act::Refused(Fault::new("proxmox", message).with_hint("x"));
        let Act::Refused(fault) = without_content(refused(&format!("bad value '{text}'")), &secrets) else {
            panic!()
        };
        assert!(fault.message.contains("not shown") && fault.hint.is_none(), "{fault:?}");
        assert_eq!(without_content(refused("bad value"), &secrets), refused("bad value"));
    }
}
