//! The commands that look and change nothing: `plan`, `jobs`, `show`, `watch`, `reports`.

use serde_json::Value;
use std::collections::BTreeMap;

use super::args::{JobsArguments, Page, PlaceArguments};
use super::client::{Client, Place, escape, query};
use super::failure::{Exit, Failure, exit_of};
use super::interrupt::Interrupts;
use super::live::{follow_with, say};
use super::up::within;
use super::{Session, print, print_on, render};
use crate::bringup::{GuestSpec, JobPage, PlanAction};
use crate::daemon::Purpose;
use crate::http::api::{PlanAnswer, UpRequest};
use crate::job::Phase;

pub(super) async fn plan(session: &Session, guests: Vec<GuestSpec>, json: bool) -> Result<Exit, Failure> {
    let request = UpRequest { guests, by: None };
    let answer: PlanAnswer = session.client.post("/v1/plan", &request).await?;
    print(&if json { render::json(&answer) } else { render::plan(&answer.guests) })?;
    let refused = answer.guests.iter().find_map(|guest| Some((guest, guest.problems.first()?)));
    if let Some((guest, fault)) = refused {
        let failure = Failure::new(exit_of(&fault.code), format!("{}: {}", guest.guest, fault.message));
        let hint =
            fault.hint.clone().unwrap_or_else(|| "nothing was done: mend the spec and plan again".to_owned());
        return Err(failure.hint(hint));
    }
    match answer.guests.iter().find(|guest| guest.action == PlanAction::Conflict) {
        Some(guest) => {
            Err(Failure::new(Exit::BadInput, format!("{} is there, and differs from the spec", guest.guest))
                .hint(format!("choose another name, or remove it with `firstlight destroy {}`", guest.guest)))
        }
        None => Ok(Exit::Ok),
    }
}

/// As [`plan`] where there is neither a companion nor a store: on an empty one that nobody keeps.
pub(super) async fn plan_on_nothing(
    session: &Session,
    guests: Vec<GuestSpec>,
    json: bool,
) -> Result<Exit, Failure> {
    let folder = tempfile::tempdir().map_err(|error| {
        Failure::new(Exit::Environment, format!("no temporary folder can be made: {error}"))
    })?;
    let place = PlaceArguments { state: Some(folder.path().to_owned()), ..session.place.clone() };
    let mut settings = session.place.settings()?;
    settings.state = folder.path().to_owned();
    settings.store.url = format!("sqlite:{}", folder.path().join("plan.db").display());
    settings.api.socket = folder.path().join("control.sock");
    let client = Client::new(Place::Here { socket: settings.api.socket.clone() });
    let session = Session { place, client };
    within(&settings, Purpose::Look, plan(&session, guests, json)).await
}

pub(super) async fn jobs(session: &Session, arguments: &JobsArguments) -> Result<Exit, Failure> {
    let limit = arguments.page.limit.to_string();
    let query = query(&[
        ("state", &arguments.states.join(",")),
        ("guest", arguments.guest.as_deref().unwrap_or_default()),
        ("batch", arguments.batch.as_deref().unwrap_or_default()),
        ("limit", &limit),
        ("before", arguments.page.before.as_deref().unwrap_or_default()),
    ]);
    let page: JobPage = session.client.get(&format!("/v1/jobs{query}")).await?;
    if arguments.output.json {
        return print(&render::json(&page));
    }
    print(&render::jobs(&page.jobs, crate::clock::now_ms()))?;
    tell_of_more("jobs", page.next.as_deref());
    Ok(Exit::Ok)
}

fn tell_of_more(what: &str, next: Option<&str>) {
    if let Some(next) = next {
        say(&format!("there are more {what}: go on with --before {next}"));
    }
}

pub(super) async fn show(session: &Session, id: &str, events: bool, json: bool) -> Result<Exit, Failure> {
    let shown: Value = session.client.get(&format!("/v1/jobs/{}", escape(id))).await?;
    print(&match (json, events) {
        (true, _) => render::json(&shown),
        (false, true) => render::events(&shown["job"]),
        (false, false) => render::job(&shown, crate::clock::now_ms()),
    })
}

pub(super) async fn reports(
    session: &Session,
    guest: Option<&str>,
    page: &Page,
    json: bool,
) -> Result<Exit, Failure> {
    let limit = page.limit.to_string();
    let before = page.before.as_deref().unwrap_or_default();
    let query = query(&[("guest", guest.unwrap_or_default()), ("limit", &limit), ("before", before)]);
    let reports: Value = session.client.get(&format!("/v1/reports{query}")).await?;
    if json {
        return print(&render::json(&reports));
    }
    print(&render::reports(&reports))?;
    tell_of_more("reports", reports["next"].as_str());
    Ok(Exit::Ok)
}

pub(super) async fn watch(session: &Session, names: &[String], json: bool) -> Result<Exit, Failure> {
    if names.is_empty() {
        return super::fleet::watch(session, json).await;
    }
    let mut states = BTreeMap::new();
    let mut tell = |view: &crate::bringup::GuestView| {
        let repeated = view.successor.is_some() && view.state.is_gone();
        if repeated {
            states.remove(&view.job);
        } else {
            states.insert(view.job.clone(), view.state);
        }
        if json { print_on(render::json_line(view).as_bytes()) } else { Ok(true) }
    };
    let mut interrupts = Interrupts::listen()?;
    if interrupts.unless(follow_with(&session.client, names, &mut tell)).await?.is_none() {
        session.place.tell_detached(names);
        return Ok(Exit::Interrupted);
    }
    Ok(verdict(&states.into_values().collect::<Vec<_>>()))
}

/// What became of jobs that were watched; those that were undone for one that begins anew count by that one.
fn verdict(states: &[Phase]) -> Exit {
    if states.contains(&Phase::NeedsOperator) {
        Exit::NeedsOperator
    } else if states.iter().all(|state| *state == Phase::Done) {
        Exit::Ok
    } else {
        Exit::NotReady
    }
}
