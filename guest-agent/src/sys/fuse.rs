//! A fuse before every effect: tests let it blow, or an effect fail, at any place, and then run again.
//!
//! Nothing of it is in a release build: there [`Fuse::pass`] is `Ok(())` and nothing else.

use std::io;

#[cfg(any(test, debug_assertions))]
pub(crate) use armed::Fuse;

/// The fuse of a release build: none.
#[cfg(not(any(test, debug_assertions)))]
#[derive(Debug)]
pub(crate) struct Fuse;

#[cfg(not(any(test, debug_assertions)))]
impl Fuse {
    pub(crate) fn intact() -> Self {
        Self
    }

    #[inline]
    pub(crate) fn pass(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(any(test, debug_assertions))]
mod armed {
    use std::cell::Cell;

    #[cfg(test)]
    use nix::errno::Errno;
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    use super::io;

    /// Names the effect (counted from 0) before which a debug build kills itself, as the kernel's OOM killer would.
    const VARIABLE: &str = "FIRSTLIGHT_FUSE";

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Fault {
        /// Nothing happens any more: a dead process does no cleaning up either.
        #[cfg(test)]
        Blow,
        /// This process is really killed.
        Kill,
        /// The one effect fails, what comes after it works.
        #[cfg(test)]
        Once(Errno),
        /// It and every effect after it fail.
        #[cfg(test)]
        On(Errno),
    }

    #[derive(Debug)]
    pub(crate) struct Fuse {
        fault: Option<(u32, Fault)>,
        passed: Cell<u32>,
    }

    impl Fuse {
        /// Without a fault, unless a debug build's environment names one.
        pub(crate) fn intact() -> Self {
            let named = std::env::var(VARIABLE).ok().and_then(|value| value.parse().ok());
            Self { fault: named.map(|at| (at, Fault::Kill)), passed: Cell::new(0) }
        }

        #[cfg(test)]
        pub(crate) fn blowing_after(effects: u32) -> Self {
            Self { fault: Some((effects, Fault::Blow)), passed: Cell::new(0) }
        }

        #[cfg(test)]
        pub(crate) fn failing_once(at: u32, errno: Errno) -> Self {
            Self { fault: Some((at, Fault::Once(errno))), passed: Cell::new(0) }
        }

        #[cfg(test)]
        pub(crate) fn failing_from(at: u32, errno: Errno) -> Self {
            Self { fault: Some((at, Fault::On(errno))), passed: Cell::new(0) }
        }

        /// Whether the place of the fault was reached.
        #[cfg(test)]
        pub(crate) fn has_struck(&self) -> bool {
            self.fault.is_some_and(|(at, _)| self.passed.get() > at)
        }

        /// # Errors
        /// Whatever this place is to fail with.
        pub(crate) fn pass(&self) -> io::Result<()> {
            let number = self.passed.get();
            self.passed.set(number.saturating_add(1));
            match self.fault {
                #[cfg(test)]
                Some((at, Fault::Blow)) if number >= at => Err(io::Error::other("the fuse has blown")),
                Some((at, Fault::Kill)) if number >= at => {
                    kill(Pid::this(), Signal::SIGKILL)?;
                    Err(io::Error::other("killed"))
                }
                #[cfg(test)]
                Some((at, Fault::Once(errno))) if number == at => Err(errno.into()),
                #[cfg(test)]
                Some((at, Fault::On(errno))) if number >= at => Err(errno.into()),
                _ => Ok(()),
            }
        }
    }
}
