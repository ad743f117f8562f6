//! Two messages to an ssh-agent: which keys it has, and a signature. Source: draft-miller-ssh-agent.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::CaError;

const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
/// Bytes of an answer; OpenSSH's own agent sends no longer ones.
const LARGEST: usize = 256 * 1024;
/// A guest waits for its answer, and gives up after ten seconds.
const PATIENCE: Duration = Duration::from_secs(3);

/// A key that an agent has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) blob: Vec<u8>,
    pub(super) comment: String,
}

/// The keys that the agent has.
///
/// # Errors
/// It does not answer, or not as an agent.
pub(super) fn identities(socket: &Path) -> Result<Vec<Identity>, CaError> {
    let answer = ask(socket, &[REQUEST_IDENTITIES])?;
    read_identities(&answer).ok_or_else(|| refused(socket, &answer))
}

/// A signature of `data` by the key `blob`: algorithm and bytes, as they stand in a certificate.
///
/// # Errors
/// It does not answer, or does not sign.
pub(super) fn sign(socket: &Path, blob: &[u8], data: &[u8]) -> Result<Vec<u8>, CaError> {
    let mut request = vec![SIGN_REQUEST];
    put_string(&mut request, blob);
    put_string(&mut request, data);
    request.extend(0_u32.to_be_bytes()); // flags
    let answer = ask(socket, &request)?;
    read_signature(&answer).map(<[u8]>::to_vec).ok_or_else(|| refused(socket, &answer))
}

fn refused(socket: &Path, answer: &[u8]) -> CaError {
    let what = match answer.first() {
        Some(&FAILURE) => "refuses: is the CA's key in it, and not locked? `ssh-add -l` tells",
        _ => "gives an answer that cannot be understood",
    };
    CaError::Refused { socket: socket.to_owned(), what: what.to_owned() }
}

fn ask(socket: &Path, message: &[u8]) -> Result<Vec<u8>, CaError> {
    exchange(socket, message).map_err(|source| CaError::Agent { socket: socket.to_owned(), source })
}

fn exchange(socket: &Path, message: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = Vec::new();
    put_string(&mut request, message);
    stream.write_all(&request)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > LARGEST {
        return Err(io::Error::other("its answer is too long"));
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

fn read_identities(answer: &[u8]) -> Option<Vec<Identity>> {
    let rest = answer.strip_prefix(&[IDENTITIES_ANSWER])?;
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    let mut found = Vec::new();
    for _ in 0..u32::from_be_bytes(*count) {
        let (blob, after) = string(rest)?;
        let (comment, after) = string(after)?;
        found.push(Identity { blob: blob.to_vec(), comment: String::from_utf8_lossy(comment).into_owned() });
        rest = after;
    }
    Some(found)
}

fn read_signature(answer: &[u8]) -> Option<&[u8]> {
    let (signature, rest) = string(answer.strip_prefix(&[SIGN_RESPONSE])?)?;
    rest.is_empty().then_some(signature)
}

/// The first string, and what follows it.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_and_torn_ones_refused() {
        let mut answer = vec![IDENTITIES_ANSWER, 0, 0, 0, 1];
        put_string(&mut answer, b"blob");
        put_string(&mut answer, b"comment");
        let identity = Identity { blob: b"blob".to_vec(), comment: "comment".to_owned() };
        assert_eq!(read_identities(&answer), Some(vec![identity]));
        for end in 0..answer.len() {
            assert_eq!(read_identities(&answer[..end]), None, "{end}");
        }
        // A count that nothing stands behind takes no memory.
        assert_eq!(read_identities(&[IDENTITIES_ANSWER, 255, 255, 255, 255]), None);
        let mut answer = vec![SIGN_RESPONSE];
        put_string(&mut answer, b"signature");
        assert_eq!(read_signature(&answer), Some(&b"signature"[..]));
        for torn in [&answer[..answer.len() - 1], &[FAILURE], &[], &[answer.as_slice(), b"x"].concat()] {
            assert_eq!(read_signature(torn), None, "{torn:?}");
        }
    }
}
