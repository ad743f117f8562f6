//! One question over a local socket, synchronous and within a time limit: the early phase has no runtime.

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, UnixAddr, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use zeroize::Zeroizing;

use super::{Stopwatch, millis};

/// Sends the request and reads until the other side closes, at most `max` bytes.
///
/// # Errors
/// Nobody listens, the time is over, or the answer is longer.
pub(crate) fn ask_socket(
    path: &str,
    request: &[u8],
    limit: Duration,
    max: u64,
) -> io::Result<Zeroizing<Vec<u8>>> {
    let watch = Stopwatch::start();
    let left = || {
        let left = limit.checked_sub(watch.elapsed()).filter(|left| !left.is_zero());
        left.ok_or_else(|| io::Error::from(io::ErrorKind::TimedOut))
    };
    let fd = socket::socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    // Where the listener's queue is full, connect(2) waits so long: unix_stream_connect() of the kernel.
    let send_limit = TimeVal::milliseconds(i64::try_from(millis(limit)).unwrap_or(i64::MAX));
    socket::setsockopt(&fd, sockopt::SendTimeout, &send_limit)?;
    socket::connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    let mut stream = UnixStream::from(fd);
    stream.write_all(request)?;
    let mut answer = Zeroizing::new(Vec::new());
    let mut part = Zeroizing::new([0; 4096]);
    loop {
        stream.set_read_timeout(Some(left()?))?;
        match stream.read(&mut *part) {
            Ok(0) => return Ok(answer),
            Ok(count) => answer.extend_from_slice(&part[..count]),
            // The kernel's word for the end of a socket's time limit.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if answer.len() as u64 > max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
    }
}
