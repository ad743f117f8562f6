//! `unix:/PATH`: a socket that the host put into the guest (a bind mount); who can put it there needs no pin.

use tokio::net::UnixStream;

use super::AnyError;
use super::http::Stream;

/// # Errors
/// No socket there, or nobody behind it.
pub(super) async fn connect(path: &str) -> Result<Stream, AnyError> {
    Ok(Box::new(UnixStream::connect(path).await?))
}
