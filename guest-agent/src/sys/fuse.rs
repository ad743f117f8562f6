//! A fuse before every effect: tests let it blow after N effects, as a SIGKILL would, and run again.

use std::cell::Cell;
use std::io;

/// How many effects may still happen; none means any number.
#[derive(Debug)]
pub(crate) struct Fuse(Cell<Option<u32>>);

impl Fuse {
    pub(crate) fn intact() -> Self {
        Self(Cell::new(None))
    }

    /// Blows at effect `effects + 1` and stays blown: a dead process does no cleaning up either.
    #[cfg(test)]
    pub(crate) fn blowing_after(effects: u32) -> Self {
        Self(Cell::new(Some(effects)))
    }

    #[cfg(test)]
    pub(crate) fn is_blown(&self) -> bool {
        self.0.get() == Some(0)
    }

    pub(crate) fn pass(&self) -> io::Result<()> {
        match self.0.get() {
            None => Ok(()),
            Some(0) => Err(io::Error::other("the fuse has blown")),
            Some(left) => {
                self.0.set(Some(left - 1));
                Ok(())
            }
        }
    }
}
