//! Whom ends of jobs are told, as the configuration says: reads secrets and authorities, which it only names.

use std::ffi::OsStr;
use std::sync::Arc;

use firstlight_shared::error::Code;

use super::pins::{AuthorityError, pin};
use crate::config::{PinSettings, SecretError, Settings, Url, WebhookSettings};
use crate::outbox::{Postbox, Target};
use crate::traces::Collector;
use crate::webhook::{Hook, SecretForm};

/// Stands for the name of a webhook in messages.
const COLLECTOR: &str = "[otel]";

#[derive(Debug, thiserror::Error)]
pub enum HookError {
    #[error("the secret of the webhook `{name}` cannot be read")]
    Secret {
        name: String,
        #[source]
        source: SecretError,
    },
    #[error("the secret of the webhook `{name}` cannot be used")]
    SecretForm {
        name: String,
        #[source]
        source: SecretForm,
    },
    #[error("what the server of the webhook `{name}` is known by cannot be used")]
    Authority {
        name: String,
        #[source]
        source: AuthorityError,
    },
    #[error("the address of the webhook `{name}` cannot be used")]
    Address {
        name: String,
        #[source]
        source: rustls::Error,
    },
}

impl Code for HookError {
    fn code(&self) -> &'static str {
        match self {
            Self::Secret { source, .. } => source.code(),
            Self::SecretForm { .. } => "webhook-secret",
            Self::Authority { .. } | Self::Address { .. } => "webhook-server",
        }
    }
}

impl HookError {
    /// What the operator can do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Secret { .. } => {
                "the secret's file is for the companion's user alone (chmod 0600), or comes by LoadCredential= in the unit"
            }
            Self::SecretForm { .. } => {
                "make one with `(printf whsec_; openssl rand -base64 32) > FILE`, and give it to the receiver"
            }
            Self::Authority { .. } | Self::Address { .. } => {
                "`ca` of the [[webhook]] names a file of PEM that the companion's user can read; without it and `keys` the system's authorities count (Debian's package ca-certificates)"
            }
        }
    }
}

/// All of them, in the order of their names. `credentials` is systemd's folder, if there is one.
///
/// # Errors
/// A file that is named cannot be used.
pub(super) fn targets(
    settings: &Settings,
    credentials: Option<&OsStr>,
) -> Result<Vec<Arc<dyn Target>>, HookError> {
    let one = |settings: &WebhookSettings| -> Result<Arc<dyn Target>, HookError> {
        let name = settings.name.clone();
        let secret = settings
            .secret
            .read(credentials)
            .map_err(|source| HookError::Secret { name: name.clone(), source })?;
        let postbox = postbox(&name, &settings.address, &settings.pin)?;
        let hook = Hook::new(name.clone(), &secret, settings.events.clone(), postbox)
            .map_err(|source| HookError::SecretForm { name, source })?;
        Ok(Arc::new(hook))
    };
    let mut targets = settings.webhooks.iter().map(one).collect::<Result<Vec<_>, _>>()?;
    if let Some(otel) = &settings.otel {
        targets.push(Arc::new(Collector {
            companion: settings.companion.name.clone(),
            postbox: postbox(COLLECTOR, &otel.address, &otel.pin)?,
        }));
    }
    Ok(targets)
}

fn postbox(name: &str, address: &Url, known_by: &PinSettings) -> Result<Postbox, HookError> {
    let known = || pin(known_by).map_err(|source| HookError::Authority { name: name.to_owned(), source });
    let pin = if address.secure { Some(known()?) } else { None };
    Postbox::new(address.clone(), pin.as_ref())
        .map_err(|source| HookError::Address { name: name.to_owned(), source })
}
