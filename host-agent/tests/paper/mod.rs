//! A world on paper for tests of the job engine: no hypervisor, no sockets, every fault at will.
//!
//! - [`World`]: things that carry a job's stamp, remote tasks, requests under way, and the [`Trouble`] that is armed for
//!   a step's act or undo. It notes a violation whenever a second one of a guest is made, something foreign is touched,
//!   a request is repeated though its task is journaled, or something is done that the journal does not announce or under
//!   a lease that is over. With a file it survives `kill -9`.
//! - [`PaperSagas`]: the line of steps ([`LINE`]): one of each kind that a bring-up has.
//! - [`MemoryStore`]: a whole `JobStore`, with leases in tokio's time.
//! - [`Brittle`]: any store, made to die, refuse, forget its reply, lose a lease or stand still at the nth append.
//! - [`Life`]: one companion's life over them; [`settled`] waits for a job, [`judge`] tells whether its end is right.
//! - [`walk`]: a seeded random walk over many jobs with all of this at once.
//!
//! Use it with `#[path = "../paper/mod.rs"] mod paper;` and `#[tokio::test(start_paused = true)]`: then minutes of
//! backoff cost nothing.

#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "shared by several test programs, each of which uses a part"
)]

mod brittle;
mod checks;
mod judge;
mod life;
mod memory;
mod step;
mod trouble;
mod walk;
mod world;

pub use brittle::{Break, Brittle, Death, Weather};
pub use judge::{End, judge};
pub use life::{Clock, Life, ask, config, settled, state_of};
pub use memory::MemoryStore;
pub use step::{Kind, LINE, PaperSagas, job_spec, new_job};
pub use trouble::{Armed, Trouble, Verb};
pub use walk::{Walk, Walked, walk};
pub use world::{Thing, World};
