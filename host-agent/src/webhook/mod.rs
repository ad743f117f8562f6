//! Webhooks: each end of a job that somebody wants to know of, as one signed POST. See docs/webhooks.md.
//!
//! The form is that of the Standard Webhooks specification: `webhook-id`, `webhook-timestamp`, `webhook-signature`.

mod body;
mod sign;

use firstlight_shared::secret::Secret;

use crate::bringup::Told;
use crate::ending::Ending;
use crate::outbox::{Letter, Postbox, Target};
use crate::store::Message;

pub use sign::{SecretForm, SigningKey};

/// What the outbox calls a webhook.
pub fn target_of(name: &str) -> String {
    format!("webhook:{name}")
}

/// One `[[webhook]]`.
#[derive(Debug)]
pub struct Hook {
    pub name: String,
    pub key: SigningKey,
    pub events: Vec<Ending>,
    pub postbox: Postbox,
}

impl Hook {
    /// # Errors
    /// The secret is none.
    pub fn new(
        name: String,
        secret: &Secret,
        events: Vec<Ending>,
        postbox: Postbox,
    ) -> Result<Self, SecretForm> {
        Ok(Self { name, key: SigningKey::parse(secret)?, events, postbox })
    }
}

impl Target for Hook {
    fn name(&self) -> String {
        target_of(&self.name)
    }

    fn postbox(&self) -> &Postbox {
        &self.postbox
    }

    fn letter(&self, message: &Message, told: Option<&Told>, now_ms: u64) -> Option<Letter> {
        let (what, body) = match told {
            None => body::test(&self.name, message.at_ms),
            Some(told) if self.events.contains(&told.ending) => body::of(told),
            Some(_) => return None,
        };
        let id = format!("msg_{}", message.id);
        let seconds = now_ms / 1000;
        let signature = self.key.sign(&id, seconds, &body);
        let headers = vec![
            ("webhook-id", id),
            ("webhook-timestamp", seconds.to_string()),
            ("webhook-signature", signature),
        ];
        Some(Letter { what, headers, body })
    }
}

#[cfg(test)]
mod tests;
