//! Addresses of `lo`, over a netlink socket: listed, added and removed without a program of the guest's.
//!
//! Messages are made by hand: for three of them netlink-packet-route 0.34 adds 0.49 MB to a static program. The tests
//! hold them against what `ip` sends. Source: netlink(7), rtnetlink(7), linux/if_addr.h.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::Duration;

use firstlight_shared::error::Code;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, setsockopt, socket,
    sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike as _};

use super::Machine;

/// `lo` has this index in every network namespace. Source: LOOPBACK_IFINDEX, net/net_namespace.h of the kernel.
const LOOPBACK: u32 = 1;
/// The kernel answers at once; a dead socket must not hold the boot.
const ANSWER_LIMIT_SECONDS: i64 = 2;
/// The kernel fills no larger buffer than 32 KiB at once. Source: netlink_recvmsg, net/netlink/af_netlink.c.
const BUFFER: usize = 32 * 1024;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const REQUEST_ACK: u16 = 0x1 | 0x4;
const CREATE_EXCL: u16 = 0x400 | 0x200;
const REQUEST_DUMP: u16 = 0x1 | 0x300;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const SCOPE_LINK: u8 = 253;
const SCOPE_HOST: u8 = 254;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_CACHEINFO: u16 = 6;
const IFA_FLAGS: u16 = 8;
const IFA_F_NODAD: u32 = 0x02;
const IFA_F_DEPRECATED: u32 = 0x20;
const IFA_F_NOPREFIXROUTE: u32 = 0x200;
/// A lifetime that does not end.
const FOREVER: u32 = u32::MAX;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NetlinkError {
    #[error("addresses of lo cannot be changed: this system gives us no CAP_NET_ADMIN")]
    NoRight,
    #[error("lo takes no IPv6 address: IPv6 is off")]
    Ipv6Off,
    #[error("cannot {action} over netlink")]
    Call {
        action: &'static str,
        #[source]
        source: Errno,
    },
    #[error("the kernel's answer over netlink cannot be understood")]
    Answer,
}

impl Code for NetlinkError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoRight => "no-net-admin",
            Self::Ipv6Off => "ipv6-off",
            Self::Call { .. } => "system",
            Self::Answer => "malformed",
        }
    }
}

/// One address of `lo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoopbackAddress {
    pub address: IpAddr,
    pub prefix: u8,
    /// Never chosen as a source while another address is there.
    pub deprecated: bool,
    /// How long it stays; none if for good.
    pub valid_for: Option<Duration>,
}

/// The addresses of `lo` in this program's network namespace.
#[derive(Debug)]
pub(crate) struct Loopback(OwnedFd);

impl Machine {
    /// None for a foreign root: no network belongs to it.
    ///
    /// # Errors
    /// No netlink socket can be had.
    pub(crate) fn loopback(&self) -> Result<Option<Loopback>, NetlinkError> {
        #[cfg(test)]
        if self.made_up.is_some() {
            return Ok(None);
        }
        self.live.then(Loopback::open).transpose()
    }
}

impl Loopback {
    fn open() -> Result<Self, NetlinkError> {
        let failed = |source| NetlinkError::Call { action: "talk to the kernel", source };
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)
            .map_err(failed)?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(ANSWER_LIMIT_SECONDS))
            .map_err(failed)?;
        Ok(Self(socket))
    }

    /// All addresses of `lo`.
    ///
    /// # Errors
    /// The kernel refuses, or its answer is cut off.
    pub(crate) fn addresses(&self) -> Result<Vec<LoopbackAddress>, NetlinkError> {
        let failed = |source| NetlinkError::Call { action: "list the addresses of lo", source };
        self.send(&message(RTM_GETADDR, REQUEST_DUMP, 1, &header(0, 0, 0, 0))).map_err(failed)?;
        let (mut found, mut buffer) = (Vec::new(), vec![0; BUFFER]);
        loop {
            let length = self.receive(&mut buffer).map_err(failed)?;
            for (kind, body) in messages(&buffer[..length]) {
                match kind {
                    RTM_NEWADDR => found.extend(loopback_address(body)),
                    NLMSG_DONE => return Ok(found),
                    NLMSG_ERROR => return Err(failed(errno(body).ok_or(NetlinkError::Answer)?)),
                    _ => {}
                }
            }
        }
    }

    /// Adds addresses that no connection chooses as its source and that the kernel itself removes after a while:
    /// deprecated, alone in their prefix, of scope link (IPv6) or host (IPv4). All or none are added.
    ///
    /// # Errors
    /// The kernel refuses one of them; those before it are removed again.
    pub(crate) fn add(&self, addresses: &[IpAddr], valid_for: Duration) -> Result<(), NetlinkError> {
        let requests: Vec<Vec<u8>> = addresses.iter().zip(1..).map(|(a, n)| add(*a, valid_for, n)).collect();
        let added = self.request("add addresses to lo", &requests);
        if added.is_err() {
            // What is not there cannot be removed: only the kernel knows which were added.
            let _ = self.remove(addresses);
        }
        added
    }

    /// Removes addresses; one that is gone already is no error.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn remove(&self, addresses: &[IpAddr]) -> Result<(), NetlinkError> {
        let requests: Vec<Vec<u8>> = addresses.iter().zip(1..).map(|(a, n)| remove(*a, n)).collect();
        match self.request("remove addresses from lo", &requests) {
            Err(NetlinkError::Call { source: Errno::EADDRNOTAVAIL, .. }) => Ok(()),
            done => done,
        }
    }

    /// Sends all requests at once and reads one answer to each. The first refusal counts, but all are carried out.
    fn request(&self, action: &'static str, requests: &[Vec<u8>]) -> Result<(), NetlinkError> {
        let failed = |source| match source {
            Errno::EPERM => NetlinkError::NoRight,
            // disable_ipv6; no IPv6 in the kernel.
            Errno::EACCES | Errno::EOPNOTSUPP | Errno::EAFNOSUPPORT => NetlinkError::Ipv6Off,
            source => NetlinkError::Call { action, source },
        };
        if requests.is_empty() {
            return Ok(());
        }
        self.send(&requests.concat()).map_err(failed)?;
        let (mut open, mut result, mut buffer) = (requests.len(), Ok(()), vec![0; BUFFER]);
        while open > 0 {
            let length = self.receive(&mut buffer).map_err(failed)?;
            for body in
                messages(&buffer[..length]).filter(|(kind, _)| *kind == NLMSG_ERROR).map(|(_, body)| body)
            {
                open = open.saturating_sub(1);
                let refused = match errno(body).ok_or(NetlinkError::Answer)? {
                    Errno::UnknownErrno => Ok(()),
                    errno => Err(failed(errno)),
                };
                result = result.and(refused);
            }
        }
        result
    }

    fn send(&self, bytes: &[u8]) -> nix::Result<()> {
        sendto(self.0.as_raw_fd(), bytes, &NetlinkAddr::new(0, 0), MsgFlags::empty()).map(drop)
    }

    /// Never more than the buffer holds.
    fn receive(&self, buffer: &mut [u8]) -> nix::Result<usize> {
        recv(self.0.as_raw_fd(), buffer, MsgFlags::empty()).map(|length| length.min(buffer.len()))
    }
}

fn add(address: IpAddr, valid_for: Duration, sequence: u32) -> Vec<u8> {
    let (scope, flags) = match address {
        // No duplicate address detection on lo; said all the same, as `ip` would say it.
        IpAddr::V6(_) => (SCOPE_LINK, IFA_F_NODAD | IFA_F_NOPREFIXROUTE),
        IpAddr::V4(_) => (SCOPE_HOST, IFA_F_NOPREFIXROUTE),
    };
    // Zero and the largest number have other meanings.
    let valid = u32::try_from(valid_for.as_secs()).unwrap_or(FOREVER).clamp(1, FOREVER - 1);
    let lifetimes = [0u32, valid, 0, 0].map(u32::to_ne_bytes).concat(); // preferred 0: deprecated at once
    let mut body = own_header(address, scope);
    body.extend(attribute(IFA_LOCAL, &octets(address)));
    body.extend(attribute(IFA_FLAGS, &flags.to_ne_bytes()));
    body.extend(attribute(IFA_ADDRESS, &octets(address)));
    body.extend(attribute(IFA_CACHEINFO, &lifetimes));
    message(RTM_NEWADDR, REQUEST_ACK | CREATE_EXCL, sequence, &body)
}

fn remove(address: IpAddr, sequence: u32) -> Vec<u8> {
    let mut body = own_header(address, 0);
    body.extend(attribute(IFA_LOCAL, &octets(address)));
    body.extend(attribute(IFA_ADDRESS, &octets(address)));
    message(RTM_DELADDR, REQUEST_ACK, sequence, &body)
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn own_header(address: IpAddr, scope: u8) -> Vec<u8> {
    match address {
        IpAddr::V4(_) => header(AF_INET, 32, scope, LOOPBACK),
        IpAddr::V6(_) => header(AF_INET6, 128, scope, LOOPBACK),
    }
}

/// struct ifaddrmsg.
fn header(family: u8, prefix: u8, scope: u8, index: u32) -> Vec<u8> {
    let mut header = vec![family, prefix, 0, scope];
    header.extend(index.to_ne_bytes());
    header
}

/// struct rtattr; all of ours are multiples of four bytes long, as the next one needs.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    [&length.to_ne_bytes(), &kind.to_ne_bytes(), value].concat()
}

/// struct nlmsghdr and what follows it.
fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(16 + body.len()).unwrap_or(u32::MAX);
    let (length, sequence) = (length.to_ne_bytes(), sequence.to_ne_bytes());
    [&length, &kind.to_ne_bytes()[..], &flags.to_ne_bytes(), &sequence, &[0; 4], body].concat()
}

/// Type and body of each message in what was received; ends at the first that is cut off.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32::from_ne_bytes(array(bytes, 0)?)).ok()?;
        let kind = u16::from_ne_bytes(array(bytes, 4)?);
        let body = bytes.get(16..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, body))
    })
}

/// The number in an NLMSG_ERROR: `UnknownErrno` (zero) is an acknowledgement.
fn errno(body: &[u8]) -> Option<Errno> {
    let number = i32::from_ne_bytes(array(body, 0)?);
    Some(Errno::from_raw(number.checked_neg()?))
}

/// An address of `lo` out of an RTM_NEWADDR; none for other interfaces.
fn loopback_address(body: &[u8]) -> Option<LoopbackAddress> {
    let [family, prefix, flags, _] = array(body, 0)?;
    if u32::from_ne_bytes(array(body, 4)?) != LOOPBACK {
        return None;
    }
    let ip = |value: &[u8]| match family {
        AF_INET => Some(IpAddr::from(Ipv4Addr::from(array::<4>(value, 0)?))),
        AF_INET6 => Some(IpAddr::from(Ipv6Addr::from(array::<16>(value, 0)?))),
        _ => None,
    };
    let (mut address, mut local, mut valid, mut flags) = (None, None, FOREVER, u32::from(flags));
    let mut rest = body.get(8..)?;
    while let (Some(length), Some(kind)) = (array(rest, 0), array(rest, 2)) {
        let length = usize::from(u16::from_ne_bytes(length));
        let Some(value) = rest.get(4..length) else { break };
        match u16::from_ne_bytes(kind) {
            IFA_ADDRESS => address = ip(value),
            IFA_LOCAL => local = ip(value),
            IFA_FLAGS => flags = u32::from_ne_bytes(array(value, 0)?),
            IFA_CACHEINFO => valid = u32::from_ne_bytes(array(value, 4)?),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(LoopbackAddress {
        // With a peer, IFA_ADDRESS is the peer's.
        address: local.or(address)?,
        prefix,
        deprecated: flags & IFA_F_DEPRECATED != 0,
        valid_for: (valid != FOREVER).then(|| Duration::from_secs(valid.into())),
    })
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests;
