//! Error conventions: a stable code for machines, and the cause chain printed once, at the edge.

use std::error::Error;
use std::fmt;

/// A stable kebab-case name of an error, for wire, journal, exit tables and docs. Never changes once released.
pub trait Code {
    fn code(&self) -> &'static str;
}

/// Displays an error and its sources, joined by `: `. No error's own `Display` may repeat its source.
pub struct Chain<'a>(pub &'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
