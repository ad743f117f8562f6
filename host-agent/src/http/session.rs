//! Sessions of people who look at the pages: kept in memory only, and as hashes. A session is never a way into the API.
//!
//! | | how long | how often |
//! |---|---|---|
//! | one-time link | 2 minutes | once |
//! | session | 12 hours, 1 hour without a request | until it is signed out |
//!
//! What a session may do is asked of the rules at each request: a token that is taken out of the configuration takes its
//! sessions with it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::auth::{Access, Identity, Proof, Role};

/// Until a link that nobody followed is worth nothing.
pub const LINK_LIVES: Duration = Duration::from_secs(120);
const LIVES: Duration = Duration::from_secs(12 * 3600);
const IDLE: Duration = Duration::from_secs(3600);
/// Kept at once; beyond it the one that was used longest ago goes.
const SESSIONS: usize = 1024;
const LINKS: usize = 256;

type Hash = [u8; 32];

/// What a link or a session stands for: who proved it, and whether less was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub proof: Proof,
    pub read_only: bool,
}

impl Grant {
    /// Who it is by the rules of now; none: nobody any more.
    pub fn identity(&self, access: &Access) -> Option<Identity> {
        let identity = access.still(&self.proof)?;
        Some(if self.read_only { Identity { role: Role::Read, ..identity } } else { identity })
    }
}

/// The way a request came in. A session counts only where it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Socket,
    Tls,
}

/// An open session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    id: Hash,
    pub grant: Grant,
    /// Each form that changes something carries it.
    pub csrf: String,
}

#[derive(Debug)]
struct Kept {
    grant: Grant,
    csrf: String,
    way: Way,
    opened: Instant,
    used: Instant,
}

impl Kept {
    fn is_over(&self, now: Instant) -> bool {
        now.duration_since(self.opened) >= LIVES || now.duration_since(self.used) >= IDLE
    }
}

#[derive(Debug, Default)]
struct Inner {
    links: HashMap<Hash, (Grant, Instant)>,
    open: HashMap<Hash, Kept>,
}

/// All links and sessions of this companion.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<Inner>);

impl Sessions {
    /// A code for one sign-in.
    pub fn link(&self, grant: Grant, now: Instant) -> String {
        let code = random();
        let mut inner = self.lock();
        inner.links.retain(|_, (_, made)| now.duration_since(*made) < LINK_LIVES);
        if inner.links.len() >= LINKS {
            let oldest = inner.links.iter().min_by_key(|(_, (_, made))| *made).map(|(key, _)| *key);
            oldest.and_then(|oldest| inner.links.remove(&oldest));
        }
        inner.links.insert(hash(&code), (grant, now));
        code
    }

    /// What the code is good for; it stays good.
    pub fn look(&self, code: &str, now: Instant) -> Option<Grant> {
        let inner = self.lock();
        let (grant, made) = inner.links.get(&hash(code))?;
        (now.duration_since(*made) < LINK_LIVES).then(|| grant.clone())
    }

    /// The same, and it is used up.
    pub fn take(&self, code: &str, now: Instant) -> Option<Grant> {
        let (grant, made) = self.lock().links.remove(&hash(code))?;
        (now.duration_since(made) < LINK_LIVES).then_some(grant)
    }

    /// A new session; what its cookie holds.
    pub fn open(&self, grant: Grant, way: Way, now: Instant) -> String {
        let cookie = random();
        let mut inner = self.lock();
        inner.open.retain(|_, kept| !kept.is_over(now));
        if inner.open.len() >= SESSIONS {
            let oldest = inner.open.iter().min_by_key(|(_, kept)| kept.used).map(|(key, _)| *key);
            oldest.and_then(|oldest| inner.open.remove(&oldest));
        }
        inner.open.insert(hash(&cookie), Kept { grant, csrf: random(), way, opened: now, used: now });
        cookie
    }

    /// The session of a cookie. `counts`: a person did something, so that the hour begins anew.
    pub fn find(&self, cookie: &str, way: Way, counts: bool, now: Instant) -> Option<Session> {
        let id = hash(cookie);
        let mut inner = self.lock();
        if inner.open.get(&id)?.is_over(now) {
            inner.open.remove(&id);
            return None;
        }
        let kept = inner.open.get_mut(&id).filter(|kept| kept.way == way)?;
        if counts {
            kept.used = now;
        }
        Some(Session { id, grant: kept.grant.clone(), csrf: kept.csrf.clone() })
    }

    /// Whether it has neither ended nor been signed out; asking does not keep it alive.
    pub fn lives(&self, session: &Session, now: Instant) -> bool {
        self.lock().open.get(&session.id).is_some_and(|kept| !kept.is_over(now))
    }

    pub fn close(&self, session: &Session) {
        self.lock().open.remove(&session.id);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 256 bits that nobody guesses.
fn random() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// Looked up by its hash: how long a look takes tells nothing of what is kept.
fn hash(text: &str) -> Hash {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(read_only: bool) -> Grant {
        Grant { proof: Proof::Certificate { name: "anna".to_owned() }, read_only }
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_is_good_once_and_for_two_minutes() {
        let sessions = Sessions::default();
        let code = sessions.link(grant(false), Instant::now());
        assert!(sessions.look(&code, Instant::now()).is_some(), "looking uses nothing up");
        assert_eq!(sessions.take(&code, Instant::now()), Some(grant(false)));
        assert_eq!(sessions.take(&code, Instant::now()), None);
        let late = sessions.link(grant(true), Instant::now());
        tokio::time::advance(LINK_LIVES).await;
        assert_eq!(sessions.look(&late, Instant::now()), None);
        assert_eq!(sessions.take(&late, Instant::now()), None);
        assert_eq!(sessions.take("", Instant::now()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_ends_after_an_hour_without_requests_and_after_twelve_at_all() {
        let sessions = Sessions::default();
        let (idle, busy) = (
            sessions.open(grant(false), Way::Tls, Instant::now()),
            sessions.open(grant(false), Way::Tls, Instant::now()),
        );
        for hour in 1..=12 {
            tokio::time::advance(IDLE - Duration::from_secs(1)).await;
            // What a script fetches by itself keeps nothing alive.
            let is_there = sessions.find(&idle, Way::Tls, false, Instant::now()).is_some();
            assert_eq!(is_there, hour == 1, "{hour}");
            let session = sessions.find(&busy, Way::Tls, true, Instant::now());
            assert!(session.is_some_and(|session| sessions.lives(&session, Instant::now())), "{hour}");
        }
        tokio::time::advance(Duration::from_secs(12)).await;
        assert_eq!(sessions.find(&busy, Way::Tls, true, Instant::now()), None);
        assert!(sessions.lock().open.is_empty(), "what has ended is forgotten");
    }

    #[tokio::test]
    async fn a_session_counts_where_it_was_opened_and_until_it_is_signed_out() {
        let sessions = Sessions::default();
        let cookie = sessions.open(grant(false), Way::Tls, Instant::now());
        assert_eq!(sessions.find(&cookie, Way::Socket, true, Instant::now()), None);
        let session = sessions.find(&cookie, Way::Tls, true, Instant::now()).unwrap();
        assert_ne!(session.csrf, cookie);
        sessions.close(&session);
        assert_eq!(sessions.find(&cookie, Way::Tls, true, Instant::now()), None);
        assert!(!sessions.lives(&session, Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn links_and_sessions_take_bounded_memory_and_the_oldest_goes_first() {
        let sessions = Sessions::default();
        let first = sessions.open(grant(false), Way::Tls, Instant::now());
        for _ in 0..SESSIONS {
            tokio::time::advance(Duration::from_millis(1)).await;
            sessions.open(grant(false), Way::Tls, Instant::now());
            sessions.link(grant(false), Instant::now());
        }
        let inner = sessions.lock();
        assert_eq!((inner.open.len(), inner.links.len()), (SESSIONS, LINKS));
        assert!(!inner.open.contains_key(&hash(&first)));
    }

    #[test]
    fn what_a_session_may_is_what_the_rules_say_now() {
        let mut access = Access::default();
        assert_eq!(grant(false).identity(&access).unwrap().role, Role::Operator);
        assert_eq!(grant(true).identity(&access).unwrap().role, Role::Read);
        access.clients.insert("ben".to_owned(), Role::Operator);
        assert_eq!(grant(false).identity(&access), None, "the name has gone");
    }
}
