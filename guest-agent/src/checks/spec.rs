//! A readiness check as data: what every one has, and the kinds with their own keys.

use std::ops::Range;
use std::time::Duration;

use firstlight_shared::check::Severity;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, Error, ValueDeserializer};

use super::{
    Context, Look, clock, command, dns, docker, file, http, identity, mount, network, password, sshd,
    symlink, system_running, tcp, tls_leaf, units,
};
use crate::config::Span;

/// The longest deadline: the report waits for the last check.
const MAX_DEADLINE: Duration = Duration::from_secs(6 * 3600);
/// One look at something local or near.
const LOOK_LIMIT: Duration = Duration::from_secs(10);
/// What a look needs beside the time of the program that it runs.
const SLACK: Duration = Duration::from_secs(10);
/// The same for a container: a busy daemon takes its time to make and to remove one, and nothing shall be left.
const CONTAINER_SLACK: Duration = Duration::from_secs(60);
const MAX_ID: usize = 64;

/// What there is to look at, with the keys of its kind.
#[derive(Debug)]
pub(super) enum Kind {
    SystemRunning,
    Sshd,
    Hostname,
    MachineId,
    Clock(clock::Clock),
    Command(command::Command),
    Dns(dns::Dns),
    Docker(docker::Docker),
    FailedUnits(units::FailedUnits),
    File(file::FileCheck),
    Http(http::Http),
    Mount(mount::MountCheck),
    Network(network::Network),
    Password(password::Password),
    Replicas(docker::Replicas),
    RestartPolicy(docker::RestartPolicy),
    Symlink(symlink::Symlink),
    Tcp(tcp::Tcp),
    TlsLeaf(tls_leaf::TlsLeaf),
    Unit(units::Unit),
}

/// Names of all kinds, as files write them.
pub(super) const KINDS: [&str; 20] = [
    "clock",
    "command",
    "dns",
    "docker",
    "failed-units",
    "file",
    "hostname",
    "http",
    "machine-id",
    "mount",
    "network",
    "password",
    "replicas",
    "restart-policy",
    "sshd",
    "symlink",
    "system-running",
    "tcp",
    "tls-leaf",
    "unit",
];

/// What is wrong with a check, and where in its file; of the whole check if nowhere.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Wrong {
    pub message: String,
    pub span: Option<Range<usize>>,
}

impl Wrong {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), span: None }
    }
}

impl From<Error> for Wrong {
    fn from(error: Error) -> Self {
        Self { message: error.message().to_owned(), span: error.span() }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoKeys {}

impl Kind {
    /// # Errors
    /// An unknown kind, an unknown or missing key, a value that cannot be.
    pub(super) fn parse(kind: &str, keys: Spanned<DeTable<'_>>) -> Result<Self, Wrong> {
        Ok(match kind {
            "clock" => Self::Clock(read(keys)?),
            "command" => Self::Command(read(keys)?),
            "dns" => Self::Dns(read(keys)?),
            "docker" => Self::Docker(read(keys)?),
            "failed-units" => Self::FailedUnits(read(keys)?),
            "file" => Self::File(read(keys)?),
            "hostname" => read(keys).map(|NoKeys {}| Self::Hostname)?,
            "http" => Self::Http(read(keys)?),
            "machine-id" => read(keys).map(|NoKeys {}| Self::MachineId)?,
            "mount" => Self::Mount(read(keys)?),
            "network" => Self::Network(read(keys)?),
            "password" => Self::Password(read(keys)?),
            "replicas" => Self::Replicas(read(keys)?),
            "restart-policy" => Self::RestartPolicy(read(keys)?),
            "sshd" => read(keys).map(|NoKeys {}| Self::Sshd)?,
            "symlink" => Self::Symlink(read(keys)?),
            "system-running" => read(keys).map(|NoKeys {}| Self::SystemRunning)?,
            "tcp" => Self::Tcp(read(keys)?),
            "tls-leaf" => Self::TlsLeaf(read(keys)?),
            "unit" => Self::Unit(read(keys)?),
            other => {
                let other = firstlight_shared::text::escape(other, MAX_ID);
                return Err(Wrong::new(format!("there is no kind `{other}` among {}", KINDS.join(", "))));
            }
        })
    }

    pub(super) async fn look(&self, context: &Context<'_>) -> Look {
        match self {
            Self::SystemRunning => system_running::look(context).await,
            Self::Sshd => sshd::look(context).await,
            Self::Hostname => identity::look_at_hostname(context),
            Self::MachineId => identity::look_at_machine_id(context),
            Self::Clock(keys) => clock::look(keys, context).await,
            Self::Command(keys) => command::look(keys).await,
            Self::Dns(keys) => dns::look(keys).await,
            Self::Docker(keys) => docker::look(keys).await,
            Self::FailedUnits(keys) => units::look_at_failed(keys, context).await,
            Self::File(keys) => file::look(keys).await,
            Self::Http(keys) => http::look(keys).await,
            Self::Mount(keys) => mount::look(keys).await,
            Self::Network(keys) => network::look(keys, context),
            Self::Password(keys) => password::look(keys).await,
            Self::Replicas(keys) => docker::look_at_replicas(keys, context).await,
            Self::RestartPolicy(keys) => docker::look_at_restart(keys).await,
            Self::Symlink(keys) => symlink::look(keys).await,
            Self::Tcp(keys) => tcp::look(keys).await,
            Self::TlsLeaf(keys) => tls_leaf::look(keys).await,
            Self::Unit(keys) => units::look(keys, context).await,
        }
    }

    /// So long one look may take before it counts as unknown.
    pub(super) fn look_limit(&self) -> Duration {
        match self {
            Self::Command(keys) => keys.timeout() + SLACK,
            Self::Docker(keys) => keys.run_limit().map_or(LOOK_LIMIT, |limit| limit + CONTAINER_SLACK),
            // Hashes are slow on purpose.
            Self::Password(_) => 6 * LOOK_LIMIT,
            _ => LOOK_LIMIT,
        }
    }
}

fn read<T: DeserializeOwned>(keys: Spanned<DeTable<'_>>) -> Result<T, Wrong> {
    Ok(T::deserialize(toml::de::Deserializer::from(keys))?)
}

/// What a check that stands in a file has beside the keys of its kind.
#[derive(Debug)]
pub(super) struct Common {
    pub id: Option<String>,
    pub severity: Severity,
    pub deadline: Option<Duration>,
    pub interval: Option<Duration>,
    pub kind: Result<(String, Kind), Wrong>,
}

/// Takes one `[[check]]` apart. What can be read of a wrong one is kept, so that it can be reported under its name.
pub(super) fn parse(table: Spanned<DeTable<'_>>) -> Common {
    let span = table.span();
    let mut table = table.into_inner();
    let id =
        take::<Id>(&mut table, "id").and_then(|id| id.ok_or_else(|| Wrong::new("a check needs an `id`")));
    let severity = take(&mut table, "severity");
    let deadline = take::<Span>(&mut table, "deadline");
    let interval = take::<Span>(&mut table, "interval");
    let kind = take::<String>(&mut table, "kind");
    let time = |span: &Result<Option<Span>, Wrong>| span.as_ref().ok().copied().flatten().map(|span| span.0);
    Common {
        id: id.as_ref().ok().map(|id| id.0.clone()),
        severity: severity.as_ref().ok().copied().flatten().unwrap_or(Severity::Required),
        deadline: time(&deadline),
        interval: time(&interval),
        // The first thing that is wrong is told.
        kind: id
            .map(drop)
            .and(severity.map(drop))
            .and(deadline.and_then(not_too_long))
            .and(interval.map(drop))
            .and(kind)
            .and_then(|kind| kind.ok_or_else(|| Wrong::new("a check needs a `kind`")))
            .and_then(|kind| Ok((Kind::parse(&kind, Spanned::new(span, table))?, kind)))
            .map(|(read, kind)| (kind, read)),
    }
}

fn not_too_long(deadline: Option<Span>) -> Result<(), Wrong> {
    match deadline {
        Some(Span(deadline)) if deadline > MAX_DEADLINE => {
            Err(Wrong::new("a `deadline` is at most 6h: the report waits for it"))
        }
        _ => Ok(()),
    }
}

fn take<T: DeserializeOwned>(table: &mut DeTable<'_>, key: &str) -> Result<Option<T>, Wrong> {
    let Some(value) = table.remove(key) else { return Ok(None) };
    let span = value.span();
    let read = T::deserialize(ValueDeserializer::from(value)).map_err(Wrong::from);
    read.map(Some).map_err(|wrong| Wrong { span: wrong.span.or(Some(span)), ..wrong })
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Id(String);

impl TryFrom<String> for Id {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if is_kebab(&text) {
            return Ok(Self(text));
        }
        let shown = firstlight_shared::text::escape(&text, MAX_ID);
        Err(format!("`{shown}` is no id: a-z, 0-9 and single hyphens between them, at most {MAX_ID}"))
    }
}

fn is_kebab(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    text.len() <= MAX_ID && text.split('-').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_kebab_case() {
        for right in ["a", "a-1", "docker-hello-world"] {
            assert!(is_kebab(right), "{right}");
        }
        for wrong in ["", "-a", "a-", "a--b", "A", "a_b", "a b", "ä", &"a".repeat(65)] {
            assert!(!is_kebab(wrong), "{wrong}");
        }
    }
}
