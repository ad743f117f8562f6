//! A beacon as bytes, and back.

use sha2::{Digest, Sha256};

use super::{Beacon, Form, Key, Reason, State, VERSION};

const CHECKSUM: usize = 4;

/// What kind of key a frame names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    None,
    Host,
    Ephemeral,
}

/// The fields of a frame whose checksum holds; digests as long as the form has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fields {
    pub state: State,
    pub reason: Reason,
    pub report: Option<Vec<u8>>,
    pub kind: Kind,
    pub key: Vec<u8>,
}

/// Why bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameError {
    Checksum,
    /// The checksum holds, so it was written so: by a newer agent.
    Version(u8),
    /// Likewise, but with a field that version 1 does not have.
    Content,
}

pub(super) fn write(beacon: &Beacon, form: Form, generation: u8) -> Vec<u8> {
    let (kind, key) = match beacon.key {
        None => (Kind::None, vec![0; form.digest()]),
        Some(Key::Host(key)) => (Kind::Host, shown_key(&key, form)),
        Some(Key::Ephemeral(key)) => (Kind::Ephemeral, shown_key(&key, form)),
    };
    let mut frame = vec![VERSION << 4 | beacon.state.number(), kind.number() << 6 | beacon.reason.number()];
    frame.extend_from_slice(&beacon.report.unwrap_or_default()[..form.digest()]);
    frame.extend_from_slice(&key);
    let checksum = checksum(&frame, form, generation);
    frame.extend_from_slice(&checksum);
    frame
}

/// The key as a frame of this form has it.
pub(super) fn shown_key(key: &[u8; 32], form: Form) -> Vec<u8> {
    match form {
        Form::Ipv6 => key.to_vec(),
        Form::Ipv4 => Sha256::digest(key)[..form.digest()].to_vec(),
    }
}

pub(super) fn read(frame: &[u8], form: Form, generation: u8) -> Result<Fields, FrameError> {
    let body = frame.len().checked_sub(CHECKSUM).and_then(|end| frame.split_at_checked(end));
    let Some((body, sum)) = body else { return Err(FrameError::Checksum) };
    if body.len() != 2 + 2 * form.digest() || sum != checksum(body, form, generation) {
        return Err(FrameError::Checksum);
    }
    let (head, digests) = body.split_at(2);
    let (report, key) = digests.split_at(form.digest());
    if head[0] >> 4 != VERSION {
        return Err(FrameError::Version(head[0] >> 4));
    }
    let state = State::ALL.into_iter().find(|state| state.number() == head[0] & 0x0f);
    let kind = Kind::ALL.into_iter().find(|kind| kind.number() == head[1] >> 6);
    let (Some(state), Some(kind)) = (state, kind) else { return Err(FrameError::Content) };
    let reason = Reason::ALL.into_iter().find(|reason| reason.number() == head[1] & 0x3f);
    let is_zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    if (kind == Kind::None) != is_zero(key) {
        return Err(FrameError::Content);
    }
    let report = (!is_zero(report)).then(|| report.to_vec());
    Ok(Fields { state, reason: reason.unwrap_or(Reason::Other), report, kind, key: key.to_vec() })
}

fn checksum(body: &[u8], form: Form, generation: u8) -> [u8; CHECKSUM] {
    let digest = Sha256::new()
        .chain_update(b"firstlight-beacon")
        .chain_update([form.number(), generation])
        .chain_update(body)
        .finalize();
    [digest[0], digest[1], digest[2], digest[3]]
}

impl Kind {
    const ALL: [Self; 3] = [Self::None, Self::Host, Self::Ephemeral];

    fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Host => 1,
            Self::Ephemeral => 2,
        }
    }
}
