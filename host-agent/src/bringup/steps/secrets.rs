//! deliver-secrets: the sources are read, and their content goes into the guest before it starts. The journal gets the first
//! bytes of each digest, and nothing else of it.

use std::sync::Arc;

use async_trait::async_trait;
use firstlight_shared::wire::secret_prefix;
use serde_json::json;

use super::{Common, FAST, unless_store};
use crate::backend::SecretFile;
use crate::bringup::facts::{DELIVER_SECRETS, SECRETS};
use crate::bringup::secrets::read_all;
use crate::intake::Delivered;
use crate::job::{Context, Step};
use crate::outcome::{Act, Fault, Probe, Undo};

pub(super) struct DeliverSecrets(pub(super) Arc<Common>);

#[async_trait]
impl Step for DeliverSecrets {
    fn name(&self) -> &'static str {
        DELIVER_SECRETS
    }

    fn deadline(&self) -> Option<std::time::Duration> {
        Some(FAST)
    }

    /// Nothing that is there is taken for what the source has now: it is delivered again.
    async fn probe(&self, _: &Context<'_>) -> Result<Probe, Fault> {
        Ok(Probe::Absent)
    }

    async fn act(&self, context: &Context<'_>) -> Act {
        match self.deliver(context).await {
            Ok(act) => act,
            Err(fault) => unless_store(fault),
        }
    }

    /// They go with the guest.
    async fn undo(&self, _: &Context<'_>) -> Undo {
        Undo::Absent
    }
}

impl DeliverSecrets {
    async fn deliver(&self, context: &Context<'_>) -> Result<Act, Fault> {
        let placement = self.0.placement(context).await?;
        let files = read_all(&placement.plan, &self.0.service()?.secrets).await?;
        let delivered: Vec<Delivered> = files.iter().map(delivered).collect();
        Ok(match self.0.backend.deliver(&placement, &files).await {
            Act::Applied(_) => Act::Applied(json!({ SECRETS: delivered })),
            Act::Started(task) => {
                let message = format!("`{}` delivers secrets in a task ({task})", self.0.backend.name());
                Act::Unknown(Fault::new("no-tasks", message))
            }
            ended => ended,
        })
    }
}

fn delivered(file: &SecretFile) -> Delivered {
    Delivered {
        path: file.path.to_string_lossy().into_owned(),
        sha256_prefix: secret_prefix(&file.content),
        mode: file.mode.to_string(),
        owner: file.owner.to_string(),
    }
}
