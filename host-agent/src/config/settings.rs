//! What a companion is told, typed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use firstlight_shared::pin::SpkiPin;

use super::secret::SecretFile;
use super::url::Url;
use super::value::Role;
use crate::backend::incus;
use crate::backend::link::Address;
use crate::backend::link::pin::Fingerprint;
use crate::ending::Ending;

/// Everything a companion is told. Secrets are named here, and read by whoever needs them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Folder of the lock, the embedded store and the control socket.
    pub state: PathBuf,
    pub store: StoreSettings,
    pub companion: CompanionSettings,
    /// Jobs at work at once, by resource (`node:pve1`) or kind (`node`).
    pub limits: BTreeMap<String, u32>,
    /// Bytes of memory that guests may have together, by resource (`node:pve1`).
    pub budget: BTreeMap<String, u64>,
    pub reports: ReportSettings,
    pub api: ApiSettings,
    pub retention: RetentionSettings,
    pub secrets: SecretSettings,
    pub ssh_ca: SshCaSettings,
    pub local: LocalSettings,
    /// None: there is no such backend.
    pub proxmox: Option<ProxmoxSettings>,
    pub incus: Option<IncusSettings>,
    /// By name.
    pub webhooks: Vec<WebhookSettings>,
    pub otel: Option<OtelSettings>,
    pub log: LogSettings,
}

/// A collector of traces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtelSettings {
    /// Where `/v1/traces` is, with that path.
    pub address: Url,
    /// Of a secure address.
    pub pin: PinSettings,
}

/// Whom ends of jobs are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSettings {
    pub name: String,
    pub address: Url,
    pub secret: SecretFile,
    pub events: Vec<Ending>,
    /// Of a secure address.
    pub pin: PinSettings,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// Without the password.
    pub url: String,
    pub password: Option<SecretFile>,
    /// PEM of the authority that signed the server's certificate.
    pub root_certificate: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompanionSettings {
    pub name: String,
    /// Jobs driven at once, waiting ones included.
    pub room: usize,
    pub lease: Duration,
    pub grace: Duration,
    pub drain: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportSettings {
    /// Local guests report to the same port inside their own network.
    pub listen: SocketAddr,
    /// What guests are told instead of an address of this machine.
    pub url: Option<String>,
    /// Connections of one address at once.
    pub connections_per_address: usize,
    /// None: the key is kept in the store.
    pub key: Option<SecretFile>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiSettings {
    pub socket: PathBuf,
    /// The group that the socket belongs to, by number.
    pub socket_group: Option<u32>,
    /// The API over TLS; none: not served.
    pub listen: Option<TcpApiSettings>,
    pub tokens: Vec<TokenSettings>,
    /// Roles by common name; empty: every certificate of `client_ca` is an operator's.
    pub clients: BTreeMap<String, Role>,
    pub peers: PeerSettings,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpApiSettings {
    pub address: SocketAddr,
    pub certificate: PathBuf,
    pub key: SecretFile,
    pub client_ca: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSettings {
    pub name: String,
    pub role: Role,
    pub file: SecretFile,
}

/// Whom the control socket obeys beside root and the companion's own user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerSettings {
    pub uids: Vec<u32>,
    pub gids: Vec<u32>,
}

/// None: kept for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionSettings {
    pub jobs: Option<Duration>,
    pub reports: Option<Duration>,
}

/// Where guests' secrets may come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretSettings {
    /// Folders.
    pub files: Vec<PathBuf>,
    /// Programs.
    pub commands: Vec<PathBuf>,
}

/// The host CA; there is one once its key is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshCaSettings {
    pub enabled: bool,
    /// Its public half beside it, with `.pub`.
    pub key: PathBuf,
    /// The socket of an ssh-agent that has the key; none: it is in the file.
    pub agent: Option<PathBuf>,
    pub validity: Duration,
    pub renew_before: Duration,
    /// Guests' names are certified in each of these, too.
    pub domains: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalSettings {
    pub folder: PathBuf,
}

/// How Proxmox VE is reached, and what its guests have where their spec says nothing. See the keys' help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxmoxSettings {
    pub addresses: Vec<Address>,
    pub token: SecretFile,
    pub pin: PinSettings,
    pub node: Option<String>,
    pub storage: Option<String>,
    pub pool: Option<String>,
    pub bridge: String,
    pub vmids: RangeInclusive<u32>,
    pub tags: Vec<String>,
    /// Goldens with lines that work as root on the node are taken.
    pub allow_root_lines: bool,
}

/// Which Incus servers there are, and what their guests have where their spec says nothing. See the keys' help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncusSettings {
    /// At least one; the first is the usual one.
    pub remotes: Vec<RemoteSettings>,
    pub profiles: Vec<String>,
    pub pool: Option<String>,
    pub network: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteSettings {
    pub name: String,
    pub place: RemotePlace,
    pub project: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemotePlace {
    Socket(PathBuf),
    Server {
        address: Address,
        pin: PinSettings,
        /// A file of PEM.
        certificate: PathBuf,
        key: SecretFile,
        proxy: Option<incus::client::link::Proxy>,
    },
}

/// What servers are known by: one kind, never a fallback to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinSettings {
    /// A file of PEM.
    Authority(PathBuf),
    /// A file of PEM with servers' own certificates, whose keys count.
    Servers(PathBuf),
    Keys(Vec<SpkiPin>),
    Leaves(Vec<Fingerprint>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// Directives as of RUST_LOG.
    pub level: String,
}
