//! The beacon as `status` shows it.

use std::fmt;

use firstlight_shared::error::Chain;
use serde::Serialize;

use super::{memory, ours, read};
use crate::sys::Machine;

/// What stands on `lo` now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Shown {
    pub state: Option<&'static str>,
    pub reason: Option<&'static str>,
    pub generation: Option<u8>,
    pub addresses: usize,
    /// The first of them to go goes in so many seconds.
    pub ends_in_s: Option<u64>,
    /// An earlier boot, or this one, has had its acknowledgement: no beacon is raised.
    pub acknowledged: bool,
    pub problem: Option<String>,
}

pub(crate) fn shown(machine: &Machine) -> Shown {
    let acknowledged = memory::load(&machine.root).is_ok_and(|memory| memory.is_some());
    let mut shown = Shown { acknowledged, ..Shown::default() };
    let standing = match machine.loopback().and_then(|lo| lo.map_or(Ok(Vec::new()), |lo| lo.addresses())) {
        Ok(standing) => standing,
        Err(error) => {
            shown.problem = Some(Chain(&error).to_string());
            return shown;
        }
    };
    let pieces = ours(&standing);
    let ends = standing.iter().filter(|one| pieces.contains(&one.address)).filter_map(|one| one.valid_for);
    shown.ends_in_s = ends.min().map(|left| left.as_secs());
    shown.addresses = pieces.len();
    match read(&standing) {
        Ok(None) => {}
        Ok(Some(seen)) => {
            shown.state = Some(seen.state().as_str());
            shown.reason = Some(seen.reason().as_str());
            shown.generation = Some(seen.generation);
        }
        Err(error) => shown.problem = Some(Chain(&error).to_string()),
    }
    shown
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(problem) = &self.problem {
            return write!(f, "beacon: {problem}");
        }
        let Some(state) = self.state else {
            let why = if self.acknowledged { ", the host has acknowledged this machine" } else { "" };
            return write!(f, "beacon: none{why}");
        };
        let minutes = self.ends_in_s.unwrap_or_default() / 60;
        write!(f, "beacon: {state}")?;
        match self.reason {
            Some("none") | None => {}
            Some(reason) => write!(f, " ({reason})")?,
        }
        write!(f, ", {} addresses on lo for {} h {} min more", self.addresses, minutes / 60, minutes % 60)
    }
}
