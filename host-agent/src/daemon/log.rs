//! The log: to standard error, without times (the journal has its own), at a level that a reload changes.

use tracing_subscriber::filter::EnvFilter;

use crate::config::log_directives;

/// Sets the level from now on; answers what is wrong with the directives.
type Set = dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync;

/// The level of the log of this process.
pub struct LogLevel(Box<Set>);

impl std::fmt::Debug for LogLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LogLevel")
    }
}

impl LogLevel {
    /// Starts the log; to be called once. Directives that cannot be read count as `info`.
    pub fn start(directives: &str) -> Self {
        let usable = if log_directives(directives).is_ok() { directives } else { "info" };
        let filter = EnvFilter::new(usable);
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_target(false)
            .without_time()
            .with_filter_reloading();
        let handle = log.reload_handle();
        log.init();
        Self(Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string())))
    }

    /// Directives as of RUST_LOG.
    ///
    /// # Errors
    /// What is wrong with them; the old level counts.
    pub fn set(&self, directives: &str) -> Result<(), String> {
        (self.0)(EnvFilter::try_new(directives).map_err(|error| error.to_string())?)
    }
}
