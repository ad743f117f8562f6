//! `clock`: it is synchronized.

use firstlight_shared::check::Verdict;
use firstlight_shared::error::Chain;
use serde::Deserialize;

use super::{Context, Look};
use crate::bus::BusError;
use crate::virtualization;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Clock {
    /// Judge a container too, whose clock is the host's.
    in_containers: bool,
}

pub(super) async fn look(keys: &Clock, context: &Context<'_>) -> Look {
    let container = virtualization::container(context.machine);
    if let Some(container) = &container
        && !keys.in_containers
    {
        return Look::Final(Verdict::Skip, format!("the clock of a container ({container}) is its host's"));
    }
    judge(container.is_some(), context.bus.clock_is_synchronized().await)
}

fn judge(in_container: bool, synchronized: Result<bool, BusError>) -> Look {
    let whose = if in_container { "the host's clock" } else { "the clock" };
    match synchronized {
        Ok(true) => Look::pass(format!("{whose} is synchronized")),
        Ok(false) => Look::not_yet(format!("{whose} is not synchronized")),
        Err(error) => Look::cannot_tell(Chain(&error).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::units::said;
    use super::*;

    #[test]
    fn a_clock_that_cannot_be_asked_is_unknown() {
        for (answer, verdict) in [
            (Ok(true), Verdict::Pass),
            (Ok(false), Verdict::Fail),
            (Err(BusError::Timeout), Verdict::Unknown),
        ] {
            assert_eq!(said(&judge(true, answer)).0, verdict);
        }
    }
}
