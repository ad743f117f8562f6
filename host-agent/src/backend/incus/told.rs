//! What the servers tell unasked: that a guest says it is ready.

use std::collections::HashMap;

use futures_util::future::select_all;
use tokio::sync::{Mutex, Notify};

use super::Incus;
use super::client::Client;
use super::client::events::{self, Events};
use crate::backend::Told;

/// The event `instance-ready`: the guest wrote `{"state":"Ready"}` to devIncus.
const READY: &str = "instance-ready";

/// The sockets that are listened at: one for each project in which a guest is.
#[derive(Debug, Default)]
pub(super) struct Ears {
    /// By remote and project.
    open: Mutex<HashMap<(String, String), Events>>,
    /// Of projects that are to be listened at.
    wanted: std::sync::Mutex<HashMap<(String, String), Client>>,
    more: Notify,
}

impl Ears {
    /// From now on this project is listened at.
    pub(super) fn listen(&self, client: &Client) {
        let key = (client.remote().to_owned(), client.project().to_owned());
        let mut wanted = self.wanted.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if wanted.insert(key, client.clone()).is_none() {
            self.more.notify_one();
        }
    }

    /// Nothing of what servers tell is missed just now.
    pub(super) fn all_hear(&self) -> bool {
        let wanted = self.wanted.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        !wanted.is_empty() && wanted.values().all(|client| client.events().is_open())
    }

    async fn open(&self) {
        let wanted = self.wanted.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let mut open = self.open.lock().await;
        for (key, client) in wanted {
            open.entry(key).or_insert_with(|| client.events());
        }
    }
}

impl Incus {
    /// The next thing that is a reason to look.
    pub(super) async fn next_told(&self) -> Told {
        loop {
            self.ears.open().await;
            let mut open = self.ears.open.lock().await;
            let next = async {
                match open.is_empty() {
                    true => std::future::pending().await,
                    false => select_all(open.values_mut().map(|events| Box::pin(events.next()))).await.0,
                }
            };
            tokio::select! {
                told = next => if let Some(told) = reason(told) { return told },
                () = self.ears.more.notified() => {}
            }
        }
    }
}

/// None: it is none.
fn reason(told: events::Told) -> Option<Told> {
    match told {
        events::Told::Missed => Some(Told::Anything),
        events::Told::Lifecycle(event) if event.action == READY => {
            event.instance().map(|name| Told::Ready(name.to_owned()))
        }
        events::Told::Lifecycle(_) | events::Told::Operation(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ready_and_what_was_missed_are_reasons_to_look() {
        let event = |action: &str, source: &str| {
            events::Told::Lifecycle(events::Lifecycle {
                action: action.to_owned(),
                source: source.to_owned(),
                name: String::new(),
                project: "default".to_owned(),
            })
        };
        let ready = event("instance-ready", "/1.0/instances/web-01?project=lab");
        assert_eq!(reason(ready), Some(Told::Ready("web-01".to_owned())));
        assert_eq!(reason(event("instance-started", "/1.0/instances/web-01")), None);
        assert_eq!(reason(event("instance-ready", "/1.0/images/x")), None);
        assert_eq!(reason(events::Told::Missed), Some(Told::Anything));
    }
}
