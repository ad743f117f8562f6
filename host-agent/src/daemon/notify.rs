//! What the service manager is told. Without one there is nobody to tell, and nothing happens.

use std::time::Duration;

use sd_notify::NotifyState;

/// `sd_notify(3)`.
pub(super) fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "systemd was not told");
    }
}

pub(super) fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The reload protocol wants the time with it. Source: sd_notify(3), RELOADING=1.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "no monotonic time"),
    }
}

/// The end may take as long as the drain, and a little more.
pub(super) fn stopping(drain: Duration) {
    let micros = u32::try_from((drain + Duration::from_secs(15)).as_micros()).unwrap_or(u32::MAX);
    notify(&[
        NotifyState::Stopping,
        NotifyState::ExtendTimeoutUsec(micros),
        NotifyState::Status("stopping: steps that are under way may end"),
    ]);
}

/// How often the watchdog wants to hear of us, if there is one.
pub(super) fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}
