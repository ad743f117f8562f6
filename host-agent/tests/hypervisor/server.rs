//! The hypervisor's API. A request that has come is carried out, whether its sender still listens or not.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};

use super::guest;
use super::world::{Alteration, Machine, Outcome, Verb, Wanted};
use super::{Hypervisor, Stage};

/// `GET /machines`, `PUT|GET|DELETE /machines/JOB`, `POST /machines/JOB/start|stop|alter`, `DELETE /machines/JOB/claim`.
pub(super) fn router(hypervisor: Hypervisor) -> Router {
    Router::new()
        .route("/machines", get(list))
        .route("/machines/{job}", put(make).get(show).delete(remove))
        .route("/machines/{job}/start", post(start))
        .route("/machines/{job}/stop", post(stop))
        .route("/machines/{job}/alter", post(alter))
        .route("/machines/{job}/claim", delete(remove_claim))
        .with_state(hypervisor)
}

async fn list(State(hypervisor): State<Hypervisor>) -> Json<Vec<Machine>> {
    // Nobody reads a report in a list, and of many guests they are most of it.
    let machines = hypervisor.world().machines.values().map(Machine::without_report).collect();
    Json(machines)
}

async fn show(
    State(hypervisor): State<Hypervisor>,
    Path(job): Path<String>,
) -> Result<Json<Machine>, StatusCode> {
    hypervisor.world().machines.get(&job).cloned().map(Json).ok_or(StatusCode::NOT_FOUND)
}

async fn make(
    State(hypervisor): State<Hypervisor>,
    headers: HeaderMap,
    Json(wanted): Json<Wanted>,
) -> Json<Option<String>> {
    let guest = wanted.guest.clone();
    Json(
        carry_out(hypervisor, Verb::Make, &guest, move |hypervisor| {
            let job = wanted.job.clone();
            let (task, new) = hypervisor.world().make(&companion(&headers), wanted);
            if new {
                let hypervisor = hypervisor.clone();
                let takes = hypervisor.shared.manner.borrow().make;
                if takes.is_zero() {
                    hypervisor.world().made(&job);
                    return None;
                }
                tokio::spawn(async move {
                    tokio::time::sleep(takes).await;
                    hypervisor.world().made(&job);
                });
            }
            task
        })
        .await,
    )
}

async fn start(
    State(hypervisor): State<Hypervisor>,
    headers: HeaderMap,
    Path(job): Path<String>,
) -> StatusCode {
    let guest = hypervisor.guest_of(&job);
    let outcome = carry_out(hypervisor, Verb::Start, &guest, move |hypervisor| {
        let outcome = hypervisor.world().start(&companion(&headers), &job);
        if outcome == Outcome::Done {
            hypervisor.wake_up(job);
        }
        outcome
    })
    .await;
    status(outcome)
}

async fn stop(
    State(hypervisor): State<Hypervisor>,
    headers: HeaderMap,
    Path(job): Path<String>,
) -> StatusCode {
    let guest = hypervisor.guest_of(&job);
    let stop = move |hypervisor: &Hypervisor| hypervisor.world().stop(&companion(&headers), &job);
    status(carry_out(hypervisor, Verb::Stop, &guest, stop).await)
}

async fn remove(
    State(hypervisor): State<Hypervisor>,
    headers: HeaderMap,
    Path(job): Path<String>,
) -> StatusCode {
    let guest = hypervisor.guest_of(&job);
    let remove = move |hypervisor: &Hypervisor| hypervisor.world().remove(&companion(&headers), &job);
    status(carry_out(hypervisor, Verb::Remove, &guest, remove).await)
}

async fn alter(
    State(hypervisor): State<Hypervisor>,
    Path(job): Path<String>,
    Json(alteration): Json<Alteration>,
) -> StatusCode {
    status(hypervisor.world().alter(&job, alteration))
}

async fn remove_claim(State(hypervisor): State<Hypervisor>, Path(job): Path<String>) -> StatusCode {
    if let Some(machine) = hypervisor.world().machines.get_mut(&job) {
        machine.claim = None;
    }
    StatusCode::OK
}

/// In a task of its own: a sender that dies does not take its request with it.
async fn carry_out<T: Send + 'static>(
    hypervisor: Hypervisor,
    verb: Verb,
    guest: &str,
    request: impl FnOnce(&Hypervisor) -> T + Send + 'static,
) -> T {
    let held = hypervisor.held(verb, guest);
    let carried_out = tokio::spawn(async move {
        let Some(stage) = held else { return request(&hypervisor) };
        stage.send_replace(Stage::Arrived);
        // The test holds the other end; it is gone with the test.
        let _ = stage.subscribe().wait_for(|now| *now >= Stage::Released).await;
        let outcome = request(&hypervisor);
        stage.send_replace(Stage::CarriedOut);
        outcome
    });
    carried_out.await.unwrap()
}

fn status(outcome: Outcome) -> StatusCode {
    if outcome == Outcome::Refused { StatusCode::CONFLICT } else { StatusCode::OK }
}

fn companion(headers: &HeaderMap) -> String {
    headers.get("companion").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

impl Hypervisor {
    /// What was started begins to live.
    fn wake_up(&self, job: String) {
        let players = self.shared.manner.borrow().players.clone();
        match players {
            Some(players) => {
                let machine = self.world().machines.get(&job).map(Machine::without_report);
                // Nobody plays any more: the run is over.
                if let Some(machine) = machine {
                    let _ = players.send(machine);
                }
            }
            None => drop(tokio::spawn(guest::live(self.clone(), job))),
        }
    }

    fn guest_of(&self, job: &str) -> String {
        self.world().machines.get(job).map(|machine| machine.guest.clone()).unwrap_or_default()
    }
}
