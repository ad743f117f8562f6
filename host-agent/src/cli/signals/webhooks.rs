//! `firstlight webhooks`.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::WebhookArguments;
use crate::bringup::HookView;
use crate::cli::client::escape;
use crate::cli::failure::{Exit, Failure};
use crate::cli::live::say;
use crate::cli::{Session, print, render};
use crate::http::api::{WebhookRetry, WebhookTest, Webhooks};
use crate::store::{MessageRow, Posted};

/// Longer than one attempt may take.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(250);

pub(super) async fn run(session: &Session, arguments: &WebhookArguments) -> Result<Exit, Failure> {
    let nothing = serde_json::json!({});
    if let Some(name) = &arguments.test {
        let sent: WebhookTest =
            session.client.post(&format!("/v1/webhooks/{}/test", escape(name)), &nothing).await?;
        return await_test(session, name, &sent.id, arguments.output.json).await;
    }
    if let Some(name) = &arguments.retry {
        let retried: WebhookRetry =
            session.client.post(&format!("/v1/webhooks/{}/retry", escape(name)), &nothing).await?;
        if arguments.output.json {
            return print(&render::json(&retried));
        }
        say(&format!("{} messages are sent again", retried.messages));
        return Ok(Exit::Ok);
    }
    let found: Webhooks = session.client.get("/v1/webhooks").await?;
    if arguments.output.json {
        return print(&render::json(&found));
    }
    print(&shown(&found, crate::clock::now_ms()))
}

async fn await_test(session: &Session, name: &str, id: &str, json: bool) -> Result<Exit, Failure> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found: Webhooks = session.client.get("/v1/webhooks").await?;
        let row = found.messages.into_iter().find(|row| row.id == id);
        let row = row.filter(|row| row.state != Posted::Waiting || row.error.is_some());
        let row = match row {
            Some(row) => row,
            None if Instant::now() < deadline => {
                sleep(PAUSE).await;
                continue;
            }
            None => {
                let what = format!("the test of `{name}` was not sent within {} s", PATIENCE.as_secs());
                return Err(Failure::new(Exit::NotReady, what)
                    .hint("`firstlight webhooks` shows how it goes on; the companion's log may tell more"));
            }
        };
        if json {
            print(&render::json(&row))?;
        }
        if row.state == Posted::Sent {
            if !json {
                say(&format!("`{name}` took the test message"));
            }
            return Ok(Exit::Ok);
        }
        let why = row.error.unwrap_or_default();
        return Err(Failure::new(Exit::NotReady, format!("`{name}` did not take the test message: {why}"))
            .hint(
                "see `url`, `ca`, `keys` and `secret` of the [[webhook]]; the message is tried again like any other",
            ));
    }
}

fn shown(found: &Webhooks, now_ms: u64) -> String {
    let hook = |hook: &HookView| {
        vec![
            render::safe(&hook.name),
            hook.waiting.to_string(),
            hook.sent.to_string(),
            hook.given_up.to_string(),
            hook.events.join(","),
            render::safe(&hook.url),
        ]
    };
    let header = ["WEBHOOK", "WAITING", "SENT", "GIVEN UP", "EVENTS", "URL"];
    let mut text = render::table(&header, found.webhooks.iter().map(hook));
    if !found.messages.is_empty() {
        let header = ["MESSAGE", "WEBHOOK", "TYPE", "GUEST", "STATE", "TRIES", "AGE", "WHY"];
        text.push('\n');
        text.push_str(&render::table(&header, found.messages.iter().map(|row| message(row, now_ms))));
    }
    text
}

fn message(row: &MessageRow, now_ms: u64) -> Vec<String> {
    let state = match row.state {
        Posted::Waiting if row.next_at_ms > now_ms && row.error.is_some() => {
            format!("again in {}", render::span(row.next_at_ms - now_ms))
        }
        Posted::Waiting => "waiting".to_owned(),
        Posted::Sent => "sent".to_owned(),
        Posted::GivenUp => "given up".to_owned(),
    };
    let optional = |text: &Option<String>| text.as_deref().map_or_else(|| "-".to_owned(), render::safe);
    vec![
        format!("msg_{}", render::safe(&row.id)),
        render::safe(row.target.trim_start_matches("webhook:")),
        optional(&row.what),
        optional(&row.guest),
        state,
        row.tries.to_string(),
        render::span(now_ms.saturating_sub(row.at_ms)),
        optional(&row.error),
    ]
}
