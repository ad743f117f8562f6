//! The claim is taken out of the container's environment once it has been used.

use super::check::Change;
use super::wanted::is_ours;
use super::{Fault, Placement, Proxmox, Standing};
use crate::backend::proxmox::client::endpoint::config::{ChangeConfig, GuestConfig};

impl Proxmox {
    /// Of a running container it is gone from the configuration at once, and from its first process with the next start.
    pub(in crate::backend::proxmox) async fn remove_claim_of_container(
        &self,
        placement: &Placement,
    ) -> Result<(), Fault> {
        let ours = match self.standing(placement).await? {
            Standing::Ours(ours) => ours,
            // With the guest, its claim is gone; and another's has none of ours.
            Standing::Free | Standing::Other(_) => return Ok(()),
            Standing::Making(_) | Standing::Nascent(_) | Standing::Unfinished(_) | Standing::Hidden(_) => {
                return self.ours(placement).await.map(|_| ());
            }
        };
        let Some(Change { set, delete }) = without_claim(&ours.config) else { return Ok(()) };
        let digest = ours.config.digest().map(str::to_owned);
        self.ask(&ChangeConfig { guest: ours.guest, set, delete, digest }).await
    }
}

/// What others put into the environment stays. None: there is nothing of ours in it.
fn without_claim(config: &GuestConfig) -> Option<Change> {
    let env = config.get("env")?;
    if !env.split('\0').any(is_ours) {
        return None;
    }
    let others: Vec<&str> = env.split('\0').filter(|line| !line.is_empty() && !is_ours(line)).collect();
    let mut change = Change::default();
    match others.is_empty() {
        true => change.delete.push("env".to_owned()),
        false => change.set.push(("env".to_owned(), others.join("\0"))),
    }
    Some(change)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::backend::proxmox::client::endpoint::Endpoint as _;
    use crate::backend::proxmox::client::endpoint::config::ReadConfig;

    #[test]
    fn only_our_variables_go() {
        let of = |env: serde_json::Value| without_claim(&ReadConfig::read(env).unwrap());
        assert_eq!(of(json!({})), None);
        assert_eq!(of(json!({"env": "A=1\0NOT_FIRSTLIGHT_CLAIM=x"})), None);
        assert_eq!(
            of(json!({"env": "FIRSTLIGHT_CLAIM=x\0container_uuid=y"})),
            Some(Change { set: Vec::new(), delete: vec!["env".to_owned()] })
        );
        assert_eq!(
            of(json!({"env": "A=1\0FIRSTLIGHT_CLAIM=x\0B="})),
            Some(Change { set: vec![("env".to_owned(), "A=1\0B=".to_owned())], delete: Vec::new() })
        );
        assert_eq!(
            of(json!({"env": "A=1\0FIRSTLIGHT_SECRET_0=x"})),
            Some(Change { set: vec![("env".to_owned(), "A=1".to_owned())], delete: Vec::new() })
        );
    }
}
