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

/// The report endpoints that this companion serves.
pub struct Endpoints {
    serve: ServeReports,
    /// By backend; no handle: the backend has no socket of its own.
    open: Mutex<HashMap<&'static str, Option<AbortHandle>>>,
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
        let served = open.entry(backend.name()).or_default();
        if let Some(listener) = endpoint.listener {
            tracing::info!(backend = backend.name(), url = %endpoint.url, "taking reports");
            if let Some(old) = served.replace((self.serve)(listener)) {
                old.abort();
            }
        }
        Ok(endpoint.url)
    }

    pub async fn is_open(&self, backend: &dyn Backend) -> bool {
        self.open.lock().await.contains_key(backend.name())
    }

    /// Removes what the backend's guests shared, then closes its endpoint here, unless somebody needs them. That is asked
    /// while nobody can make the endpoint ready: a guest that comes at the same moment is seen, or makes all of it anew.
    pub async fn release(
        &self,
        backend: &dyn Backend,
        is_needed: impl Future<Output = Result<bool, Fault>>,
    ) -> Result<(), Fault> {
        let mut open = self.open.lock().await;
        // Whatever the backend keeps, its socket among it, goes on being served: it gives the socket out once.
        if is_needed.await? || !backend.release().await? {
            return Ok(());
        }
        if let Some(serving) = open.remove(backend.name()).flatten() {
            serving.abort();
        }
        Ok(())
    }
}
