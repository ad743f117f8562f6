//! What OpenSSH's own files look like: known_hosts, SSHFP records, lists of revoked keys. Pure: nothing is read or written.

pub(crate) mod block;
pub(crate) mod known_hosts;
pub(crate) mod krl;
pub(crate) mod sshfp;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The bytes of a public key line, as they are hashed for fingerprints; none if it is no such line.
fn blob(public_key: &str) -> Option<Vec<u8>> {
    STANDARD.decode(public_key.split_ascii_whitespace().nth(1)?).ok()
}
