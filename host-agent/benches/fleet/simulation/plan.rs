//! Which guest does what, and how its job has to end: a pure function of the seed.

use firstlight_shared::ids::MachineId;
use firstlight_tests::simpve::random::Random;

/// How a guest behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Reports once, and is well.
    Honest,
    /// Sends its report over two connections at once, and once more later.
    Impatient,
    /// Its first connections break off in the middle of the report.
    Torn,
    /// Dies after the acknowledgement, and sends the same report when it is back.
    Returning,
    /// Sends another report, with another key, after the acknowledgement.
    Changed,
    /// Reports in the name of another guest first, whose secret it does not have.
    Impostor,
    /// A required check fails.
    Broken,
    /// Calls itself something else.
    Misnamed,
    /// Sends what is no report: words, half of one, one that was altered, one that is too large.
    Garbage,
    /// Never reports.
    Dead,
    /// Reports when its job has been given up.
    Late,
    /// Tells the machine-id of another guest, which is ready.
    Twin,
}

pub(crate) const ROLES: [Role; 12] = [
    Role::Honest,
    Role::Impatient,
    Role::Torn,
    Role::Returning,
    Role::Changed,
    Role::Impostor,
    Role::Broken,
    Role::Misnamed,
    Role::Garbage,
    Role::Dead,
    Role::Late,
    Role::Twin,
];

/// Of a hundred guests, in the order of [`ROLES`].
const SHARES: [u64; 12] = [55, 8, 6, 5, 4, 4, 4, 3, 3, 4, 2, 2];

/// How long a guest is waited for that never says anything that counts, in milliseconds.
const SHORT: u64 = 4_000;
/// Longer than any run.
const LONG: u64 = 6 * 60 * 60 * 1000;

impl Role {
    /// The code of the failure with which its guest is rolled back; none: it becomes ready.
    pub(crate) fn failure(self) -> Option<&'static str> {
        match self {
            Self::Honest
            | Self::Impatient
            | Self::Torn
            | Self::Returning
            | Self::Changed
            | Self::Impostor => None,
            Self::Broken => Some("check-failed"),
            Self::Misnamed => Some("wrong-hostname"),
            Self::Garbage | Self::Dead | Self::Late => Some("report-timeout"),
            Self::Twin => Some("duplicate"),
        }
    }

    /// How long the job waits for a report, in milliseconds.
    pub(crate) fn patience(self) -> u64 {
        if self.failure() == Some("report-timeout") { SHORT } else { LONG }
    }

    /// Its report is acknowledged, whatever becomes of the guest.
    pub(crate) fn is_acknowledged(self) -> bool {
        self.failure() != Some("report-timeout")
    }
}

/// A fleet's guests, by their numbers from 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Who is ready is destroyed when its time is over.
    pub(crate) leave: bool,
}

impl Plan {
    fn random(self, number: usize) -> Random {
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        Random::new(self.seed ^ number.wrapping_mul(0xD134_2543_DE82_EF95))
    }

    /// The first guests have one role each, so that the smallest fleet has them all.
    pub(crate) fn role(self, number: usize) -> Role {
        if let Some(role) = ROLES.get(number) {
            return *role;
        }
        let mut drawn = self.random(number).between(1, SHARES.iter().sum());
        for (role, share) in ROLES.into_iter().zip(SHARES) {
            if drawn <= share {
                return role;
            }
            drawn -= share;
        }
        Role::Honest
    }

    /// How its job has to end: the state, and the code of the failure.
    pub(crate) fn end(self, number: usize) -> (&'static str, Option<&'static str>) {
        match self.role(number).failure().or(self.leave.then_some("due")) {
            Some(code) => ("rolled-back", Some(code)),
            None => ("done", None),
        }
    }

    /// `fleet-000007`.
    pub(crate) fn name(self, number: usize) -> String {
        format!("fleet-{number:06}")
    }

    /// Of one of our names.
    pub(crate) fn number(self, name: &str) -> Option<usize> {
        let number = name.strip_prefix("fleet-")?.parse().ok()?;
        (self.name(number) == name).then_some(number)
    }

    /// The guest whose identity a twin tells: an honest one that was asked for before it.
    pub(crate) fn original(self, number: usize) -> usize {
        (0..number).rev().find(|other| self.role(*other) == Role::Honest).unwrap_or(0)
    }

    pub(crate) fn machine_id(self, number: usize) -> MachineId {
        let number = if self.role(number) == Role::Twin { self.original(number) } else { number };
        let mut random = self.random(number);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&random.number().to_be_bytes());
        bytes[8..].copy_from_slice(&random.number().to_be_bytes());
        MachineId::from_random(bytes)
    }
}
