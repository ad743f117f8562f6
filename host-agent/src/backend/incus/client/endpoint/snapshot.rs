//! Snapshots of instances.

use serde::{Deserialize, Serialize};

use super::instance::path;
use super::{Answered, Config, Endpoint, Unreadable, nullable, operation, parse};
use crate::backend::incus::client::call::{Call, Method, segment};
use crate::backend::incus::client::operation::OperationId;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Snapshot {
    /// Without the instance's.
    pub name: String,
    /// RFC 3339
    #[serde(default)]
    pub created_at: String,
    #[serde(default)]
    pub stateful: bool,
    #[serde(default, deserialize_with = "nullable")]
    pub config: Config,
}

impl Snapshot {
    /// Milliseconds since the Unix epoch. None: the server does not say.
    pub fn taken_at_ms(&self) -> Option<u64> {
        milliseconds(&self.created_at)
    }
}

/// Of an RFC 3339 time; none before the epoch (Go's zero time is one).
fn milliseconds(text: &str) -> Option<u64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let rest = text.get(19..)?;
    let zone = rest.find(['Z', '+', '-'])?;
    let (fraction, zone) = rest.split_at(zone);
    let fraction = format!("{:0<3}", fraction.trim_start_matches('.'));
    let ahead = match (zone.get(0..1)?, zone.get(1..3), zone.get(4..6)) {
        ("Z", ..) => 0,
        (sign, Some(hours), Some(minutes)) => {
            let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
            if sign == "-" { -minutes } else { minutes }
        }
        _ => return None,
    };
    // Days since the epoch, of years that begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute - ahead) * 60 + second;
    u64::try_from(seconds * 1000 + fraction.get(0..3)?.parse::<i64>().ok()?).ok()
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListSnapshots {
    pub instance: String,
}

impl Endpoint for ListSnapshots {
    type Answer = Vec<Snapshot>;

    fn call(&self) -> Call {
        Call::new(Method::Get, path(&self.instance, "/snapshots")).with("recursion", 1)
    }

    fn read(answered: Answered) -> Result<Vec<Snapshot>, Unreadable> {
        parse(answered.metadata)
    }
}

/// Of the disks and the configuration, not of memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakeSnapshot {
    pub instance: String,
    pub name: String,
}

#[derive(Serialize)]
struct TakeBody<'a> {
    name: &'a str,
    stateful: bool,
}

impl Endpoint for TakeSnapshot {
    type Answer = OperationId;

    fn call(&self) -> Call {
        Call::new(Method::Post, path(&self.instance, "/snapshots"))
            .json(&TakeBody { name: &self.name, stateful: false })
    }

    fn read(answered: Answered) -> Result<OperationId, Unreadable> {
        operation(answered)
    }
}

/// Sets the instance back, its configuration too. A running one is stopped, and started again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreSnapshot {
    pub instance: String,
    pub name: String,
}

#[derive(Serialize)]
struct RestoreBody<'a> {
    restore: &'a str,
    stateful: bool,
}

impl Endpoint for RestoreSnapshot {
    type Answer = OperationId;

    fn call(&self) -> Call {
        Call::new(Method::Put, path(&self.instance, ""))
            .json(&RestoreBody { restore: &self.name, stateful: false })
    }

    fn read(answered: Answered) -> Result<OperationId, Unreadable> {
        operation(answered)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoveSnapshot {
    pub instance: String,
    pub name: String,
}

impl Endpoint for RemoveSnapshot {
    type Answer = OperationId;

    fn call(&self) -> Call {
        Call::new(Method::Delete, path(&self.instance, &format!("/snapshots/{}", segment(&self.name))))
    }

    fn read(answered: Answered) -> Result<OperationId, Unreadable> {
        operation(answered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_go_writes_them() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T12:00:00.5Z", Some(951_825_600_500)),
            ("2026-11-22T06:40:56.123456789Z", Some(1_795_329_656_123)),
            ("2026-11-22T07:40:56+01:00", Some(1_795_329_656_000)),
            ("2026-11-21T23:10:56-07:30", Some(1_795_329_656_000)),
            ("0001-01-01T00:00:00Z", None),
            ("", None),
            ("yesterday", None),
        ] {
            assert_eq!(milliseconds(text), expected, "{text}");
        }
    }
}
