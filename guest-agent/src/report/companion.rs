//! The companion that acknowledged this machine, remembered for later boots: who gets evidence when nobody can ask.

use firstlight_shared::error::Chain;
use firstlight_shared::pin::SpkiPin;
use serde::{Deserialize, Serialize};

use crate::channel::{self, Channel};
use crate::config::Settings;
use crate::paths;
use crate::sys::Machine;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Companion {
    version: u32,
    /// As [`Channel`] is written.
    channel: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pin: Option<SpkiPin>,
}

/// Notes the channel that acknowledged; of the usual kinds, those on which one can ask.
pub(super) fn remember(machine: &Machine, channels: &[Channel], acknowledged_by: &str) {
    let Some(channel) = channels.iter().find(|channel| channel.to_string() == acknowledged_by) else {
        return;
    };
    let pin = match channel {
        Channel::Https { pin, .. } => Some(*pin),
        Channel::Unix(_) | Channel::Vsock { .. } => None,
        Channel::VirtioPort(_) | Channel::Incus(_) => return,
    };
    let companion = Companion { version: 1, channel: acknowledged_by.to_owned(), pin };
    let text = serde_json::to_vec(&companion).unwrap_or_default();
    if machine.root.read(paths::COMPANION).ok().flatten().as_deref() == Some(&*text) {
        return;
    }
    if let Err(error) = machine.root.replace(paths::COMPANION, 0o600, &text) {
        eprintln!("warning: the companion is not remembered: {}", Chain(&error));
    }
}

/// The companion that acknowledged this machine once; none if no one did. The way to it is checked as any other.
pub(crate) fn known(machine: &Machine) -> Option<Channel> {
    let companion: Companion = serde_json::from_slice(&machine.root.read(paths::COMPANION).ok()??).ok()?;
    let channels = Some(vec![companion.channel]).filter(|_| companion.version == 1)?;
    let settings =
        Settings { channels: Some(channels), pin: companion.pin, url: None, ..Settings::default() };
    let (channels, _) = channel::choose(None, &settings, |_| false);
    channels.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_channel_that_acknowledged_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let machine = Machine::open(folder.path()).unwrap();
        let pin = SpkiPin::of(b"key");
        let channels = [
            Channel::Https { address: "10.77.0.1:7443".parse().unwrap(), pin },
            Channel::Vsock { cid: 2, port: 7443 },
            Channel::VirtioPort("org.firstlight.0".into()),
        ];
        assert_eq!(known(&machine), None);
        for channel in &channels[..2] {
            remember(&machine, &channels, &channel.to_string());
            assert_eq!(known(&machine).as_ref(), Some(channel));
        }
        // Nobody can be asked there, and nobody is known by another name.
        for other in ["virtio-port:org.firstlight.0", "https://10.77.0.2:7443"] {
            remember(&machine, &channels, other);
            assert_eq!(known(&machine).as_ref(), Some(&channels[1]));
        }
        std::fs::write(folder.path().join(paths::COMPANION), "{}").unwrap();
        assert_eq!(known(&machine), None);
    }
}
