//! `[[webhook]]` and `[otel]`: whom ends of jobs are told.

use std::path::PathBuf;

use firstlight_shared::pin::SpkiPin;

use super::names::is_word;
use super::read::{Reader, path};
use super::secret::SecretFile;
use super::settings::{OtelSettings, PinSettings, WebhookSettings};
use super::url::Url;
use super::value::{Setting, Value, list_of};
use crate::ending::Ending;

const HOOKS: &str = "webhook";
/// Vouches for servers of the world, where nothing else is said.
const WORLD: &str = "/etc/ssl/certs/ca-certificates.crt";
/// What a webhook is told if it does not say.
const USUAL: [Ending; 4] = [Ending::Ready, Ending::Failed, Ending::NeedsOperator, Ending::Destroyed];

impl Setting for Option<Url> {
    const WANTED: &'static str = "an address, https://HOST/PATH, without a user or a password,";
    fn read(value: &Value) -> Option<Self> {
        value.text()?.parse().ok().map(Some)
    }
}

#[derive(Default)]
struct Events(Vec<Ending>);

impl Setting for Events {
    const WANTED: &'static str =
        "a list of ready, failed, destroyed, needs-operator, abandoned, changed and change-failed";
    fn read(value: &Value) -> Option<Self> {
        list_of(value, Ending::of_name).map(Self)
    }
}

impl Reader<'_> {
    /// None: it is not set, or what is wrong with it has been said.
    pub(super) fn otel(&mut self) -> Option<OtelSettings> {
        let address: Option<Url> = self.get("otel.endpoint");
        let authority: Option<PathBuf> = self.get("otel.ca");
        let insecure: bool = self.get("otel.insecure");
        let mut address = address?;
        if !address.secure && !address.is_loopback() && !insecure {
            self.wrong(
                "otel.endpoint",
                "https is wanted for another machine, or `insecure = true` where nobody stands in between",
            );
        }
        // The endpoint is that of all signals: the specification adds the path of each.
        address.path = format!("{}/v1/traces", address.path.trim_end_matches('/'));
        let pin = PinSettings::Authority(authority.unwrap_or_else(|| PathBuf::from(WORLD)));
        Some(OtelSettings { address, pin })
    }

    pub(super) fn webhooks(&mut self) -> Vec<WebhookSettings> {
        let names = self.names_below(HOOKS);
        names.into_iter().filter_map(|name| self.webhook(name)).collect()
    }

    fn webhook(&mut self, name: String) -> Option<WebhookSettings> {
        let of = |key: &str| [path(HOOKS), vec![name.clone(), key.to_owned()]].concat();
        let named = self.origin(&of("name"));
        if !is_word(&name) {
            self.problem(
                named,
                format!("the webhook {name:?} needs another name: letters, digits and `-_.`"),
            );
            return None;
        }
        let address: Option<Url> = self.value_at(&of("url"));
        let secret: Option<SecretFile> = self.value_at(&of("secret"));
        let Events(mut events) = self.value_at(&of("events"));
        let insecure: bool = self.value_at(&of("insecure"));
        let keys: Vec<SpkiPin> = self.value_at(&of("keys"));
        let authority: Option<PathBuf> = self.value_at(&of("ca"));
        for (key, what) in [
            ("url", "`url`, https://HOST/PATH"),
            ("secret", "`secret`, the file or credential of what both sides know"),
        ] {
            if !self.merged.values.contains_key(&of(key)) {
                self.problem(named.clone(), format!("the webhook {name:?} needs {what}"));
            }
        }
        if !keys.is_empty() && authority.is_some() {
            self.problem(
                named.clone(),
                format!("the webhook {name:?} is known by `keys` or by `ca`, not by both"),
            );
        }
        let address = address?;
        if !address.secure && !address.is_loopback() && !insecure {
            let what =
                "is sent in the clear: https is wanted, or `insecure = true` where nobody stands in between";
            self.problem(self.origin(&of("url")), format!("the webhook {name:?} {what}"));
        }
        if events.is_empty() {
            events = USUAL.to_vec();
        }
        let pin = match authority {
            _ if !keys.is_empty() => PinSettings::Keys(keys),
            Some(path) => PinSettings::Authority(path),
            None => PinSettings::Authority(PathBuf::from(WORLD)),
        };
        Some(WebhookSettings { name, address, secret: secret?, events, pin })
    }
}
