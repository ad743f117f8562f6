//! What an end must look like: complete, clean, or with an operator who is told the truth. Nothing else.

use firstlight::job::{Phase, State};

use super::step::{Kind, LINE};
use super::world::World;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    Complete,
    Clean,
    NeedsOperator,
    Abandoned,
}

/// How the job ended.
///
/// # Errors
/// The end is not a right one, or something happened that must never happen.
pub fn judge(world: &World, job: &str, state: &State) -> Result<End, String> {
    let violations = world.violations();
    if !violations.is_empty() {
        return Err(violations.join("; "));
    }
    let (things, tasks) = (world.things_of(job), world.tasks_of(job));
    match state.phase {
        Phase::Done => {
            let makes = |kind: &Kind| matches!(kind, Kind::Quick | Kind::Task);
            let mut wanted: Vec<&str> =
                LINE.iter().filter(|(_, kind)| makes(kind)).map(|(name, _)| *name).collect();
            let mut there: Vec<&str> =
                things.iter().filter(|thing| !thing.half).map(|thing| thing.step.as_str()).collect();
            wanted.sort_unstable();
            there.sort_unstable();
            let complete = wanted == there && things.len() == there.len() && tasks.is_empty();
            complete
                .then_some(End::Complete)
                .ok_or(format!("done, but there is {things:?}, at work {tasks:?}"))
        }
        Phase::RolledBack => (things.is_empty() && tasks.is_empty())
            .then_some(End::Clean)
            .ok_or(format!("rolled back, but there is {things:?}, at work {tasks:?}")),
        Phase::NeedsOperator => {
            let told = |step: &str| {
                let line = format!("remove {}/{step}", state.spec.guest);
                state.leftovers.contains(&line)
            };
            match things.iter().find(|thing| !told(&thing.step)) {
                Some(thing) => Err(format!("nobody tells of {thing:?}: {:?}", state.leftovers)),
                None => Ok(End::NeedsOperator),
            }
        }
        Phase::Abandoned => Ok(End::Abandoned),
        phase => Err(format!("the job has not ended: {phase:?}")),
    }
}
