//! Honest guests: each has a claim with a secret, an address of its own, and one report, which it sends until it is
//! acknowledged.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use firstlight::store::Store;
use firstlight_shared::ids::MacAddress;
use firstlight_shared::secret::Secret;
use firstlight_shared::wire::Claim;
use tokio::task::JoinSet;

use crate::post::post;
use crate::report::Guest;

/// As long as the real agent waits for an answer.
const ATTEMPT: Duration = Duration::from_secs(15);

#[derive(Debug, Clone)]
pub(crate) struct Honest {
    pub(crate) guest: Guest,
    pub(crate) claim: Claim,
    pub(crate) report: String,
}

/// So many, at 127.77.0.0 and up.
pub(crate) fn guests(count: u8) -> Vec<Honest> {
    (1..=count).map(guest).collect()
}

fn guest(number: u8) -> Honest {
    let claim = Claim::new(format!("claim-{number}"), Some(Secret::new(vec![number; 32])));
    let guest = Guest {
        name: format!("guest-{number}"),
        mac: MacAddress::local([2, 0, 0], [0, 0, number]),
        address: IpAddr::from([10, 77, 0, number]),
    };
    let report = guest.report(Some(&claim));
    Honest { guest, claim, report }
}

impl Honest {
    pub(crate) async fn is_waited_for(&self, store: &Store) {
        let (job, secret) = (format!("job-of-{}", self.guest.name), self.claim.secret.clone().unwrap());
        store.claim_for(&job, &self.guest.name, &self.claim.id, &secret).await.unwrap();
    }

    pub(crate) fn source(&self) -> IpAddr {
        self.guest.source()
    }

    /// Sends until it is acknowledged, and waits longer each time: from the first attempt to the acknowledgement.
    async fn deliver(self, target: SocketAddr) -> Duration {
        let (began, mut wait) = (Instant::now(), Duration::from_millis(250));
        loop {
            let sent = tokio::time::timeout(ATTEMPT, post(target, self.source(), self.report.clone())).await;
            match sent {
                Ok(Ok((200, _))) => return began.elapsed(),
                Ok(Ok((status @ 400..=499, body))) => panic!("an honest guest was refused: {status} {body}"),
                _ => tokio::time::sleep(wait).await,
            }
            wait = (wait * 2).min(Duration::from_secs(4));
        }
    }
}

/// A guest each `every`; how long each took, shortest first.
pub(crate) async fn deliver(guests: Vec<Honest>, target: SocketAddr, every: Duration) -> Vec<Duration> {
    let mut delivering = JoinSet::new();
    for guest in guests {
        delivering.spawn(guest.deliver(target));
        tokio::time::sleep(every).await;
    }
    let all = tokio::time::timeout(Duration::from_secs(60), delivering.join_all()).await;
    let mut took = all.expect("every honest guest is acknowledged within a minute");
    took.sort();
    took
}
