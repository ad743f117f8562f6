//! What people see of webhooks.

use crate::bringup::api::HookView;
use crate::bringup::service::Bringups;
use crate::store::{MessageRow, Posted, StoreError};

/// What the outbox calls webhooks begins with this.
const WEBHOOK: &str = "webhook:";

impl Bringups {
    /// Those of the configuration; to be set once, before anybody asks.
    pub fn set_hooks(&self, hooks: Vec<HookView>) {
        let _ = self.hooks.set(hooks);
    }

    pub fn hooks(&self) -> &[HookView] {
        self.hooks.get().map_or(&[], Vec::as_slice)
    }

    /// With how many messages stand how.
    ///
    /// # Errors
    /// The store fails.
    pub async fn hook_views(&self) -> Result<Vec<HookView>, StoreError> {
        let mut views = self.hooks().to_vec();
        for (target, state, count) in self.store.count_messages().await? {
            let of = |view: &&mut HookView| target.strip_prefix(WEBHOOK) == Some(view.name.as_str());
            let Some(view) = views.iter_mut().find(of) else { continue };
            match state {
                Posted::Waiting => view.waiting = count,
                Posted::Sent => view.sent = count,
                Posted::GivenUp => view.given_up = count,
            }
        }
        Ok(views)
    }

    /// The newest messages of webhooks.
    ///
    /// # Errors
    /// The store fails.
    pub async fn messages(&self) -> Result<Vec<MessageRow>, StoreError> {
        let mut rows = self.store.list_messages(None, 0).await?;
        rows.retain(|row| row.target.starts_with(WEBHOOK));
        Ok(rows)
    }
}
