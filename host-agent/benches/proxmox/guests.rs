//! Guests that come up after the usual time, show their beacon and send a signed report, as real ones do.

use std::time::Duration;

use firstlight_shared::beacon::{Beacon, Reason, State};
use firstlight_shared::ids::MachineId;
use firstlight_shared::wire::Claim;
use firstlight_tests::simpve::call::Moment;
use firstlight_tests::simpve::guests::{Boot, Finished, Guests, Interface, Script, Scripted};
use firstlight_tests::simpve::profile::Profile;
use tokio::runtime::Handle;

use crate::{post, report};

/// What the guests do once they are up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Report,
    /// No report comes; the beacon says that no host key could be made.
    Fail,
}

#[derive(Debug)]
pub(crate) struct Reporting {
    scripted: Scripted,
    manner: Manner,
    beacon: Duration,
    runtime: Handle,
}

impl Reporting {
    pub(crate) fn new(profile: &Profile, manner: Manner) -> Self {
        Self { scripted: Scripted::of(profile), manner, beacon: profile.beacon, runtime: Handle::current() }
    }

    /// What the guest says of itself. It sends its report when its beacon is up, if it does.
    fn speak(&self, boot: &Boot) -> Beacon {
        if self.manner == Manner::Fail {
            return Beacon { state: State::Failed, reason: Reason::NoHostKey, report: None, key: None };
        }
        let variable = |wanted: &str| {
            boot.env.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str()).unwrap()
        };
        let claim = Claim::parse(variable("FIRSTLIGHT_CLAIM").as_bytes()).unwrap();
        let machine_id: MachineId = variable("container_uuid").parse().unwrap();
        let [a, b, c, d] = boot.id.to_be_bytes();
        let guest = report::Guest {
            name: boot.hostname.clone(),
            mac: boot.mac.as_deref().unwrap().parse().unwrap(),
            address: [10 | a, b, c, d].into(),
        };
        let envelope = guest.envelope(Some(&claim), &machine_id);
        let text = serde_json::to_string(&envelope).unwrap();
        let target = claim.url.unwrap().strip_prefix("https://").unwrap().parse().unwrap();
        let after = self.beacon;
        self.runtime.spawn(async move {
            tokio::time::sleep(after).await;
            // Until it is acknowledged, as the real one does; whether it ever is shows the job's end.
            for wait in [1, 2, 4, 8] {
                if matches!(post::post(target, guest.source(), text.clone()).await, Ok((200, _))) {
                    return;
                }
                tokio::time::sleep(Duration::from_secs(wait)).await;
            }
        });
        Beacon::of_report(&envelope, Reason::None).unwrap()
    }
}

impl Guests for Reporting {
    fn boot(&mut self, boot: &Boot, now: Moment) -> Result<(), String> {
        let beacon = Some((self.beacon, self.speak(boot)));
        self.scripted.scripts.insert(boot.id, Script { beacon, ..self.scripted.script.clone() });
        self.scripted.boot(boot, now)
    }

    fn stop(&mut self, id: u32) {
        self.scripted.stop(id);
    }

    fn interfaces(&self, id: u32, now: Moment) -> Vec<Interface> {
        self.scripted.interfaces(id, now)
    }

    fn obeys(&self, id: u32, now: Moment) -> bool {
        self.scripted.obeys(id, now)
    }

    fn agent_answers(&self, id: u32, now: Moment) -> bool {
        self.scripted.agent_answers(id, now)
    }

    fn read_file(&self, id: u32, path: &str) -> Option<Vec<u8>> {
        self.scripted.read_file(id, path)
    }

    fn write_file(&mut self, id: u32, path: &str, content: &[u8]) -> bool {
        self.scripted.write_file(id, path, content)
    }

    fn run(&mut self, id: u32, command: &[String], input: &str) -> Option<Finished> {
        self.scripted.run(id, command, input)
    }
}
