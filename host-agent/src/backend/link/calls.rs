//! Who hears of each call to a remote hypervisor: how long it took, and how it ended.

use std::fmt::Debug;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Hears of calls. It must not take long.
pub trait CallWatch: Send + Sync + Debug {
    /// One attempt. `method`: of HTTP. `code`: our own, stable; none: it ended well.
    fn called(&self, backend: &'static str, method: &'static str, took: Duration, code: Option<&str>);
}

/// The listener of a client and its clones, once there is one.
#[derive(Debug, Clone, Default)]
pub struct Calls(Arc<OnceLock<Arc<dyn CallWatch>>>);

impl Calls {
    /// The first one counts.
    pub fn watch(&self, watch: Arc<dyn CallWatch>) {
        let _ = self.0.set(watch);
    }

    pub fn called(&self, backend: &'static str, method: &'static str, took: Duration, code: Option<&str>) {
        if let Some(watch) = self.0.get() {
            watch.called(backend, method, took, code);
        }
    }
}
