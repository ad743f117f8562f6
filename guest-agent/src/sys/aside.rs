//! Work that may hang (a dead NFS server, a slow hash) beside the runtime's one thread.

/// Runs `work` on a thread of its own; none if there is no thread to be had or it died.
///
/// Whoever stops waiting leaves the thread behind: the end of the process ends it. The runtime's own pool is not used,
/// since the runtime waits for it when it ends.
pub(crate) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, result) = tokio::sync::oneshot::channel();
    start(Box::new(move || drop(done.send(work())))).ok()?;
    result.await.ok()
}

/// One for all: each kind of thread would bring all of `spawn` into the static binary.
fn start(work: Box<dyn FnOnce() + Send>) -> std::io::Result<()> {
    std::thread::Builder::new().name("look".to_owned()).spawn(work).map(drop)
}
