//! What hypervisors tell unasked, for those who wait. It proves nothing: it is a reason to look at once.

use futures_util::future::join_all;

use super::service::Bringups;
use crate::backend::{Backend, Told};

impl Bringups {
    /// Listens to every hypervisor, for ever.
    pub(super) async fn hear(&self) {
        join_all(self.backends.iter().map(|backend| self.hear_one(&**backend))).await;
    }

    async fn hear_one(&self, backend: &dyn Backend) {
        loop {
            let told = backend.told().await;
            tracing::debug!(backend = backend.name(), ?told, "a hypervisor tells something");
            let guest = match &told {
                Told::Ready(guest) => Some(guest.as_str()),
                Told::Anything => None,
            };
            self.waiters.told(backend.name(), guest);
        }
    }
}
