//! `vsock:CID:PORT`: a virtual machine's socket to its hypervisor, without any network. Source: vsock(7).
//!
//! In a container this is the node's vsock, not the container's: there it must be configured on purpose.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, VsockAddr, sockopt};
use tokio::net::UnixStream;

use super::AnyError;
use super::http::Stream;

/// # Errors
/// No vsock in this machine, or nobody there; the kernel gives up after two seconds.
pub(super) async fn connect(cid: u32, port: u32) -> Result<Stream, AnyError> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd: OwnedFd = socket::socket(AddressFamily::Vsock, SockType::Stream, flags, None)?;
    match socket::connect(fd.as_raw_fd(), &VsockAddr::new(cid, port)) {
        Ok(()) | Err(Errno::EINPROGRESS) => {}
        Err(errno) => return Err(errno.into()),
    }
    // Only read, write and poll are asked of it, and those are the same for every kind of stream socket.
    let stream = UnixStream::from_std(StdStream::from(fd))?;
    stream.writable().await?;
    match socket::getsockopt(&stream, sockopt::SocketError)? {
        0 => Ok(Box::new(stream)),
        error => Err(Errno::from_raw(error).into()),
    }
}
