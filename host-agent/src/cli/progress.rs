//! What is waited for, told within a second: one line that changes on a terminal, plain lines elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use firstlight_shared::text::escape;
use tokio::task::AbortHandle;
use tokio::time::{Instant, interval_at};

use super::live::say;

/// After so long people are told, and on a terminal the seconds are counted.
const TICK: Duration = Duration::from_secs(1);

/// Lives as long as something is waited for; the line goes with it.
pub(super) struct Progress {
    now: Arc<Mutex<Told>>,
    ticker: AbortHandle,
}

struct Told {
    text: String,
    since: Instant,
    /// What was said last as a plain line.
    said: String,
    is_terminal: bool,
}

impl Progress {
    pub(super) fn start(text: &str) -> Self {
        let told = Told {
            text: text.to_owned(),
            since: Instant::now(),
            said: String::new(),
            is_terminal: std::io::stderr().is_terminal(),
        };
        let now = Arc::new(Mutex::new(told));
        let ticking = Arc::clone(&now);
        let ticker = tokio::spawn(async move {
            let mut tick = interval_at(Instant::now() + TICK, TICK);
            loop {
                tick.tick().await;
                ticking.lock().unwrap_or_else(PoisonError::into_inner).tell();
            }
        });
        Self { now, ticker: ticker.abort_handle() }
    }

    /// Something else is waited for now.
    pub(super) fn next(&self, text: &str) {
        let mut told = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        (told.text, told.since) = (text.to_owned(), Instant::now());
        if told.is_terminal {
            told.tell();
        }
    }
}

impl Told {
    fn tell(&mut self) {
        if self.is_terminal {
            let seconds = match self.since.elapsed().as_secs() {
                0 => String::new(),
                seconds => format!(" {seconds} s"),
            };
            // Who cannot hear it misses nothing.
            let _ = write!(std::io::stderr(), "\r\x1b[K{} ...{seconds}", escape(&self.text, 70));
        } else if self.said != self.text {
            say(&format!("{} ...", escape(&self.text, 500)));
            self.said.clone_from(&self.text);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.ticker.abort();
        let told = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
