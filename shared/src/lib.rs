//! The vocabulary that Firstlight's guest and host share: wire format v1, ids, verdicts, fingerprints.
//!
//! No I/O, no runtime, no clock: everything here is a value or a pure function, so that both programs and
//! their tests prove things with the same code.

pub mod age;
pub mod backoff;
pub mod beacon;
pub mod check;
pub mod elf;
pub mod error;
pub mod ids;
pub mod items;
pub mod paths;
pub mod pin;
pub mod secret;
pub mod text;
pub mod units;
pub mod wire;
