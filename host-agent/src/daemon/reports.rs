//! The report listener, wherever it listens.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use crate::bringup::ServeReports;
use crate::http::serve_reports;
use crate::intake::Intake;
use crate::metrics::Metrics;

/// The report listener, on its own address and on the sockets that backends open.
#[derive(Clone)]
pub(super) struct Reports {
    pub(super) tls: Arc<rustls::ServerConfig>,
    pub(super) intake: Intake,
    pub(super) metrics: Arc<Metrics>,
    pub(super) connections_per_address: usize,
}

impl Reports {
    pub(super) async fn serve(self, listener: TcpListener) {
        serve_reports(listener, self.tls, self.intake, self.metrics, self.connections_per_address).await;
    }

    pub(super) fn on_sockets_of_backends(&self) -> ServeReports {
        let reports = self.clone();
        Arc::new(move |listener| reports.clone().spawn(listener))
    }

    fn spawn(self, listener: std::net::TcpListener) -> AbortHandle {
        let task = tokio::spawn(async move {
            match listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener)) {
                Ok(listener) => self.serve(listener).await,
                Err(error) => tracing::error!(%error, "the backend's report socket cannot be used"),
            }
        });
        task.abort_handle()
    }
}
