//! Follows jobs: live lines on a terminal, plain lines elsewhere. All of it on standard error.

mod display;
mod fleet;
mod screen;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::client::{Client, Ending, Lines, query};
use super::failure::{Exit, Failure};
use crate::bringup::{GuestView, JobLine};
pub(super) use display::{Row, seconds, standstill};
pub(super) use fleet::Counts;
pub(super) use screen::{Screen, say};

/// How many jobs one stream follows: their ids must fit into an address.
const OF_ONE_STREAM: usize = 500;
/// How long a companion may be away (it is started again, for one) before we give up.
const AWAY: Duration = Duration::from_secs(60);
const REDRAW: Duration = Duration::from_millis(200);

impl Row {
    pub(super) fn of_view(view: &GuestView) -> Self {
        let step = view.steps.iter().find(|step| Some(&step.name) == view.step.as_ref());
        Self {
            guest: view.name.clone(),
            phase: view.state,
            step: view.step.clone(),
            step_since_ms: step.and_then(|step| step.started_at_ms),
            created_ms: view.created_at_ms,
            total_ms: view.ended_at_ms.map(|ended| ended.saturating_sub(view.created_at_ms)),
            retries: step.map_or(0, |step| step.attempts.saturating_sub(1).saturating_add(step.doubts)),
            why: view.failure.as_ref().map(|fault| fault.message.clone()),
            trouble: view.trouble.clone(),
        }
    }

    pub(super) fn of_line(line: &JobLine) -> Self {
        Self {
            guest: line.guest.clone(),
            phase: line.state,
            step: line.step.clone(),
            step_since_ms: None,
            created_ms: line.created_at_ms,
            total_ms: line.ended_at_ms.map(|ended| ended.saturating_sub(line.created_at_ms)),
            retries: 0,
            why: line.failure.as_ref().map(|fault| fault.message.clone()).or_else(|| line.waits_for.clone()),
            trouble: line.trouble.clone(),
        }
    }
}

/// Shows the jobs' progress until all are final. Answers those that were followed: the given ones, and those that began
/// anew after them.
pub(super) async fn follow(client: &Client, jobs: &[String]) -> Result<Vec<String>, Failure> {
    follow_with(client, jobs, &mut |_| Ok(true)).await
}

/// As [`follow`]; each view is given to `tell` as well, which may end it by saying false.
pub(super) async fn follow_with(
    client: &Client,
    jobs: &[String],
    tell: &mut impl FnMut(&GuestView) -> Result<bool, Failure>,
) -> Result<Vec<String>, Failure> {
    let mut screen = Screen::new();
    let mut followed: Vec<String> = jobs.to_vec();
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    let mut streams = JoinSet::new();
    let (sender, mut heard) = mpsc::channel(64);
    for part in jobs.chunks(OF_ONE_STREAM) {
        streams.spawn(stream(client.clone(), part.to_vec(), sender.clone()));
    }
    drop(sender);
    let mut tick = interval(REDRAW);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            news = heard.recv() => match news {
                Some(News::View(view)) => {
                    let row = Row::of_view(&view);
                    screen.changed(&view.job, &row);
                    if !followed.contains(&view.job) {
                        followed.push(view.job.clone());
                    }
                    rows.insert(view.job.clone(), row);
                    if !tell(&view)? {
                        return Ok(followed);
                    }
                }
                Some(News::Note(text)) => screen.note(&text),
                None => break,
            },
            _ = tick.tick() => screen.draw(&in_order(&followed, &rows)),
        }
    }
    screen.draw(&in_order(&followed, &rows));
    while let Some(ended) = streams.join_next().await {
        ended.map_err(|error| Failure::new(Exit::Environment, format!("following ended: {error}")))??;
    }
    Ok(followed)
}

fn in_order(followed: &[String], rows: &BTreeMap<String, Row>) -> Vec<Row> {
    followed.iter().filter_map(|job| rows.get(job).cloned()).collect()
}

enum News {
    View(Box<GuestView>),
    Note(String),
}

/// Reads one stream, and asks for it again when it was cut, until every job of it has ended.
async fn stream(client: Client, jobs: Vec<String>, sender: mpsc::Sender<News>) -> Result<(), Failure> {
    let mut open: Vec<String> = jobs;
    let mut lines = connect(&client, &open).await?;
    while !open.is_empty() {
        match lines.next::<GuestView>().await {
            Ok(view) => {
                // What was asked for by a guest's name goes by its job's id from now on.
                open.retain(|job| *job != view.job && *job != view.name);
                if !view.has_ended() {
                    open.push(view.job.clone());
                }
                open.extend(
                    view.successor.clone().filter(|next| view.state.is_gone() && !open.contains(next)),
                );
                let _ = sender.send(News::View(Box::new(view))).await;
            }
            Err(ending) => {
                // A companion that ends in order says so by ending the stream; so does one that has nothing more to show.
                let note = match ending {
                    Ending::Whole => "the companion stops; the jobs go on when it is back: waiting for it",
                    Ending::Cut => "the companion went away; the jobs go on when it is back: waiting for it",
                };
                let _ = sender.send(News::Note(note.to_owned())).await;
                lines = connect_again(&client, &open).await?;
                let _ = sender.send(News::Note("the companion is back".to_owned())).await;
            }
        }
    }
    Ok(())
}

async fn connect(client: &Client, jobs: &[String]) -> Result<Lines, Failure> {
    client.lines(&format!("/v1/follow{}", query(&[("jobs", &jobs.join(","))]))).await
}

async fn connect_again(client: &Client, jobs: &[String]) -> Result<Lines, Failure> {
    let began = Instant::now();
    loop {
        sleep(Duration::from_millis(500)).await;
        match connect(client, jobs).await {
            Err(_) if began.elapsed() < AWAY => {}
            Err(failure) => {
                return Err(failure.hint("the jobs go on when it is started again: `firstlight jobs`"));
            }
            Ok(lines) => return Ok(lines),
        }
    }
}
