//! The control socket.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::unistd::Gid;
use tokio::net::UnixListener;

use crate::config::ApiSettings;

/// Who may open it; who may use it says the kernel of each peer, see `http::auth`.
pub(super) fn mode(settings: &ApiSettings) -> u32 {
    let others = !settings.peers.uids.is_empty() || !settings.peers.gids.is_empty();
    match settings.socket_group {
        _ if others => 0o666,
        Some(_) => 0o660,
        None => 0o600,
    }
}

/// A dead companion's socket is in the way only until we hold the lock: remove it.
pub(super) fn bind(settings: &ApiSettings) -> std::io::Result<UnixListener> {
    let path = &settings.socket;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    open_to(path, settings)?;
    Ok(listener)
}

/// Sets group and mode; again after a reload.
pub(super) fn open_to(path: &Path, settings: &ApiSettings) -> std::io::Result<()> {
    if let Some(group) = settings.socket_group {
        nix::unistd::chown(path, None, Some(Gid::from_raw(group)))?;
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode(settings)))
}
