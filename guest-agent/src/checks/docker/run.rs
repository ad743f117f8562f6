//! Runs an image that is there already, once, and leaves nothing.

use std::time::Duration;

use hyper::Method;
use serde::Deserialize;
use serde_json::json;

use super::api::{Daemon, DaemonError};

/// On every container that we make, for whoever finds one.
const LABEL: &str = "org.firstlight.check";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Waited {
    status_code: i64,
}

/// # Errors
/// The image is not there, it does not start, does not end in time, or ends with another code than 0.
pub(super) async fn once(daemon: &Daemon<'_>, image: &str, limit: Duration) -> Result<(), DaemonError> {
    // No network: nothing that hello-world does needs one. AutoRemove: it goes even if we die.
    let wanted = json!({
        "Image": image,
        "Labels": { LABEL: "" },
        "HostConfig": { "AutoRemove": true, "NetworkMode": "none" },
    });
    let created: Created =
        daemon.send(Method::POST, "/containers/create", Some(&wanted)).await?.json().await?;
    let ran = tokio::time::timeout(limit, to_its_end(daemon, &created.id)).await;
    let ran = ran.unwrap_or_else(|_| {
        Err(DaemonError::Run(format!("{image} did not end within {} ms", limit.as_millis())))
    });
    match ran {
        // It is removed already.
        Ok(0) => Ok(()),
        Ok(code) => Err(DaemonError::Run(format!("{image} ended with exit code {code}"))),
        Err(error) => {
            let path = format!("/containers/{}?force=true&v=true", created.id);
            // Mostly the first error's cause is this one's too, and it says more.
            let _ = daemon.send(Method::DELETE, &path, None).await;
            Err(error)
        }
    }
}

/// Its exit code, once the daemon has removed it.
async fn to_its_end(daemon: &Daemon<'_>, id: &str) -> Result<i64, DaemonError> {
    // Asked before the start: the answer's head says that the daemon is watching.
    let wait = format!("/containers/{id}/wait?condition=removed");
    let waiting = daemon.send(Method::POST, &wait, None).await?;
    daemon.send(Method::POST, &format!("/containers/{id}/start"), None).await?;
    let waited: Waited = waiting.json().await?;
    Ok(waited.status_code)
}
