//! Where guests report to, per backend: made when the first guest needs it, removed with the last.

use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::task::AbortHandle;

use crate::backend::Backend;
use crate::outcome::Fault;

/// Serves reports on a socket that a backend opened, until the handle is aborted.
pub type ServeReports = Arc<dyn Fn(TcpListener) -> AbortHandle + Send + Sync>;

/// The report endpoints that are open.
pub struct Endpoints {
    serve: ServeReports,
    open: Mutex<HashMap<&'static str, AbortHandle>>,
}

impl std::fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoints").finish_non_exhaustive()
    }
}

impl Endpoints {
    pub fn new(serve: ServeReports) -> Self {
        Self { serve, open: Mutex::default() }
    }

    /// Makes the backend ready and answers the URL that its guests shall report to.
    pub async fn ensure(&self, backend: &dyn Backend) -> Result<String, Fault> {
        let mut open = self.open.lock().await;
        let endpoint = backend.prepare().await?;
        if let Some(listener) = endpoint.listener {
            tracing::info!(backend = backend.name(), url = %endpoint.url, "taking reports");
            if let Some(old) = open.insert(backend.name(), (self.serve)(listener)) {
                old.abort();
            }
        }
        Ok(endpoint.url)
    }

    /// Closes the backend's endpoint and removes what its guests shared, unless `needed` says otherwise.
    pub async fn release(&self, backend: &dyn Backend, needed: impl FnOnce() -> bool) -> Result<(), Fault> {
        let mut open = self.open.lock().await;
        if needed() {
            return Ok(());
        }
        if let Some(serving) = open.remove(backend.name()) {
            serving.abort();
        }
        backend.release().await
    }
}
