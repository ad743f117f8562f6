//! What can go wrong with a request.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verb {
    Act,
    Undo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trouble {
    /// Surely not done (an act), not done now (an undo).
    Refused,
    /// The request was lost on its way.
    LostBefore,
    /// It was carried out, the reply was lost.
    LostAfter,
    /// The reply was given up; it is carried out this many looks at the world later, `u64::MAX`: when the test says so.
    Late(u64),
    /// No reply, and probes get none either, from then on. Nothing was done.
    Dark,
    /// The same, but it was done.
    DarkDone,
    /// The remote task ends badly and leaves half of the thing (an act), or all of it (an undo).
    EndsBadly,
    /// The remote side knows nothing of the task any more once it has ended (well).
    Forgotten,
    /// The task is lost with what it was to do: it never happened, and nobody knows the task.
    Vanished,
    /// While the task is at work, a probe sees nothing of it.
    Hidden,
    /// Somebody else's thing of that name is there already.
    Foreign,
    /// The step's own code breaks.
    Panics,
    /// The call never returns; nothing was done.
    Hangs,
    /// The request is sent only after this many seconds of the call; then all is well.
    Takes(u64),
}

impl Trouble {
    /// Everything that can happen to an act.
    pub const OF_ACT: &'static [Self] = &[
        Self::Refused,
        Self::LostBefore,
        Self::LostAfter,
        Self::Late(3),
        Self::Late(40),
        Self::Dark,
        Self::DarkDone,
        Self::EndsBadly,
        Self::Forgotten,
        Self::Vanished,
        Self::Hidden,
        Self::Foreign,
        Self::Panics,
    ];
    /// Everything that can happen to an undo.
    pub const OF_UNDO: &'static [Self] = &[
        Self::Refused,
        Self::LostBefore,
        Self::LostAfter,
        Self::Late(3),
        Self::EndsBadly,
        Self::Forgotten,
        Self::Vanished,
        Self::Panics,
    ];
}

/// Trouble that waits for its request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Armed {
    pub guest: String,
    pub step: String,
    pub verb: Verb,
    pub trouble: Trouble,
    /// How many requests it meets; `u32::MAX`: all.
    pub times: u32,
}
