//! Asks PID 1 to reboot this machine in order, over its private socket: D-Bus is not up in the early phase.
//!
//! The same as `systemctl reboot` does: `reboot.target` with `replace-irreversibly`, so that nothing else starts any
//! more. Source: action_table and start_with_fallback() in systemd's src/systemctl.

use std::time::Duration;

use firstlight_shared::error::Chain;

const PRIVATE_SOCKET: &str = "unix:path=/run/systemd/private";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// # Errors
/// One line: PID 1 cannot be asked, or says no.
pub(crate) fn reboot() -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("the runtime cannot start: {error}"))?;
    runtime.block_on(ask(PRIVATE_SOCKET, TIME_LIMIT))
}

async fn ask(address: &str, limit: Duration) -> Result<(), String> {
    let work = async {
        // Not a bus but PID 1 itself: no names, no Hello.
        let systemd = zbus::connection::Builder::address(address).p2p().build().await?;
        let target = ("reboot.target", "replace-irreversibly");
        systemd.call_method(None::<&str>, MANAGER_PATH, Some(MANAGER), "StartUnit", &target).await.map(drop)
    };
    match tokio::time::timeout(limit, work).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Chain(&error).to_string()),
        Err(_) => Err(format!("PID 1 did not answer within {} seconds", limit.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_pid_1_that_does_not_answer_holds_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("private");
        let _listener = UnixListener::bind(&path).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let address = format!("unix:path={}", path.display());
        let answer = runtime.block_on(ask(&address, Duration::from_millis(200)));
        assert!(answer.is_err_and(|problem| problem.contains("did not answer")));
        assert!(runtime.block_on(ask("unix:path=/nowhere/private", TIME_LIMIT)).is_err());
    }
}
