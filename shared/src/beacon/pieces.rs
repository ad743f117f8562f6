//! Frames as addresses, and which addresses are pieces of one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Beacon, Form, VERSION, frame};

const IPV6: [u8; 4] = [0xfe, 0x80, 0x5e, 0x11];
/// Set in the second byte of every piece of the IPv4 form.
const IPV4_MARK: u8 = 0x80;

/// One address of a beacon, or one that looks like it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub form: Form,
    /// The frame has it once more in the IPv4 form; the address has it in the IPv6 form only.
    pub version: u8,
    pub generation: u8,
    pub index: usize,
    pub bytes: Vec<u8>,
}

/// The addresses of a beacon, in the order of their index.
///
/// The generation wraps around: its low 3 bits count in the IPv4 form.
pub fn encode(beacon: &Beacon, form: Form, generation: u8) -> Vec<IpAddr> {
    let generation = wrapped(form, generation);
    let frame = frame::write(beacon, form, generation);
    let chunks = (0u8..).zip(frame.chunks(form.piece()));
    chunks.map(|(index, bytes)| address(form, generation, index, bytes)).collect()
}

fn address(form: Form, generation: u8, index: u8, bytes: &[u8]) -> IpAddr {
    match form {
        Form::Ipv6 => {
            let mut octets = [0; 16];
            octets[..4].copy_from_slice(&IPV6);
            octets[4] = VERSION << 4 | index;
            octets[5] = generation;
            octets[6..6 + bytes.len()].copy_from_slice(bytes);
            Ipv6Addr::from(octets).into()
        }
        Form::Ipv4 => {
            let mut octets = [127, IPV4_MARK | generation << 4 | index, 0, 0];
            octets[2..2 + bytes.len()].copy_from_slice(bytes);
            Ipv4Addr::from(octets).into()
        }
    }
}

/// The piece that an address is by its looks; none for an address of somebody else.
pub(super) fn piece(address: IpAddr) -> Option<Piece> {
    let piece = match address {
        IpAddr::V6(v6) => {
            let octets = v6.octets();
            let bytes = octets[6..].to_vec();
            let (version, index) = (octets[4] >> 4, usize::from(octets[4] & 0x0f));
            let ours = octets.starts_with(&IPV6);
            ours.then_some(Piece { form: Form::Ipv6, version, generation: octets[5], index, bytes })?
        }
        IpAddr::V4(v4) => {
            let [net, head, ..] = v4.octets();
            let bytes = v4.octets()[2..].to_vec();
            let (generation, index) = ((head & !IPV4_MARK) >> 4, usize::from(head & 0x0f));
            let ours = net == 127 && head & IPV4_MARK != 0;
            ours.then_some(Piece { form: Form::Ipv4, version: VERSION, generation, index, bytes })?
        }
    };
    // What another version has behind the version is not known.
    (piece.version != VERSION || piece.index < piece.form.pieces()).then_some(piece)
}

/// Whether an address looks like a piece of a beacon of any version.
pub fn is_piece(address: IpAddr) -> bool {
    piece(address).is_some()
}

/// A generation of which no piece stands, newer than what stands; none if there is no such generation any more.
///
/// `newest` is the generation that stands and counts, if there is one.
pub fn free_generation(standing: &[IpAddr], form: Form, newest: Option<u8>) -> Option<u8> {
    let pieces = standing.iter().filter_map(|address| piece(*address));
    let used: Vec<u8> = pieces.filter(|piece| piece.form == form).map(|piece| piece.generation).collect();
    let steps = 1..u8::try_from(form.generations() / 2).unwrap_or(u8::MAX);
    let first = newest.unwrap_or(u8::MAX);
    steps.map(|step| wrapped(form, first.wrapping_add(step))).find(|generation| !used.contains(generation))
}

fn wrapped(form: Form, generation: u8) -> u8 {
    u8::try_from(u16::from(generation) % form.generations()).unwrap_or_default()
}

/// Whether generation `b` is newer than `a`; both false ways round where it cannot be told.
pub(super) fn is_newer(form: Form, a: u8, b: u8) -> bool {
    let ahead = u16::from(wrapped(form, b.wrapping_sub(a)));
    ahead > 0 && ahead < form.generations() / 2
}
