//! The typed settings, read from what the sources say. Pure, but for the names of users and groups, which are asked for.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::keys::{self, DEFAULT_LIMITS, KEYS};
use super::merge::{KeyPath, Located, Merged, shown};
use super::origin::{ConfigError, Origin};
use super::secret::SecretFile;
use super::settings::{
    ApiSettings, CompanionSettings, LocalSettings, LogSettings, PeerSettings, ReportSettings,
    RetentionSettings, SecretSettings, Settings, StoreSettings, TcpApiSettings, TokenSettings,
};
use super::value::{Account, Bytes, Kept, Role, Setting, Value};

/// Bytes that the path of a unix socket may have. Source: unix(7), sun_path.
const SOCKET_PATH_LIMIT: usize = 107;
/// In bytes: it stands in leases, in the journal and in the log.
const MAX_NAME: usize = 128;
/// Stands in for an address that was refused.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Reads values one by one and collects what is wrong.
pub(super) struct Reader<'a> {
    pub(super) merged: &'a mut Merged,
}

impl Settings {
    /// Builds the settings; defaults that count are added to `merged`, for `config check`.
    pub(super) fn read(merged: &mut Merged, host_name: &str) -> Result<Self, ConfigError> {
        for key in KEYS.iter().filter(|key| !key.path.contains('*')) {
            if let Some(default) = key.default {
                merged.values.entry(path(key.path)).or_insert_with(|| Located {
                    value: Value::of_default(default),
                    origin: Origin::Default,
                });
            }
        }
        for (kind, limit) in DEFAULT_LIMITS {
            let default = Located { value: Value::Integer(*limit), origin: Origin::Default };
            merged.values.entry(path(&format!("limits.{kind}"))).or_insert(default);
        }
        let mut reader = Reader { merged };
        let settings = reader.settings(host_name);
        match std::mem::take(&mut merged.problems) {
            problems if problems.is_empty() => Ok(settings),
            problems => Err(ConfigError { problems }),
        }
    }
}

impl Reader<'_> {
    fn settings(&mut self, host_name: &str) -> Settings {
        let state: PathBuf = self.get("state");
        Settings {
            store: StoreSettings {
                url: self.store_url(&state),
                password: self.get("store.password_file"),
                root_certificate: self.get("store.root_certificate"),
            },
            companion: self.companion(host_name),
            limits: self.limits(),
            budget: self.budget(),
            reports: ReportSettings {
                listen: self.get::<Option<SocketAddr>>("reports.listen").unwrap_or(NOWHERE),
                url: self.report_url(),
                connections_per_address: self.report_connections(),
                key: self.get("reports.key"),
            },
            api: self.api(&state),
            retention: RetentionSettings {
                jobs: self.get::<Kept>("retention.jobs").0,
                reports: self.get::<Kept>("retention.reports").0,
            },
            secrets: SecretSettings {
                files: self.get("secrets.files"),
                commands: self.get("secrets.commands"),
            },
            proxmox: self.proxmox(),
            incus: self.incus(),
            ssh_ca: self.ssh_ca(&state),
            webhooks: self.webhooks(),
            otel: self.otel(),
            local: LocalSettings { folder: self.path_or("local.folder", &state) },
            log: LogSettings { level: self.log_level() },
            state,
        }
    }

    fn companion(&mut self, host_name: &str) -> CompanionSettings {
        let room: u32 = self.get("companion.room");
        if room == 0 {
            self.wrong("companion.room", "a companion needs room for one job at least: from 1 to 4294967295");
        }
        let lease: Duration = self.get("companion.lease");
        if lease < Duration::from_secs(1) {
            self.wrong(
                "companion.lease",
                "at least 1s is wanted: a lease is renewed over the store several times",
            );
        }
        let name = self.text_or("companion.name", host_name);
        if name.len() > MAX_NAME || name.chars().any(char::is_control) {
            self.wrong("companion.name", "up to 128 bytes without control characters are wanted");
        }
        CompanionSettings {
            name,
            room: usize::try_from(room).unwrap_or(usize::MAX),
            lease,
            grace: self.get("companion.grace"),
            drain: self.get("companion.drain"),
        }
    }

    fn budget(&mut self) -> BTreeMap<String, u64> {
        let names = self.names_below("budget");
        let mut read = |name: String| {
            let Bytes(bytes) = self.value_at(&[path("budget"), vec![name.clone()]].concat());
            (name, bytes)
        };
        names.into_iter().map(&mut read).collect()
    }

    fn limits(&mut self) -> BTreeMap<String, u32> {
        let names = self.names_below("limits");
        names
            .into_iter()
            .map(|name| (name.clone(), self.value_at(&[path("limits"), vec![name]].concat())))
            .collect()
    }

    fn api(&mut self, state: &Path) -> ApiSettings {
        let socket = self.path_or("api.socket", &state.join("control.sock"));
        if socket.as_os_str().len() > SOCKET_PATH_LIMIT {
            self.wrong("api.socket", "the path of a socket may have 107 bytes");
        }
        let tokens = self.tokens();
        let clients = self.names_below("api.client");
        let role = |name: String| (name.clone(), self.value_at(&role_of("api.client", &name)));
        let clients: BTreeMap<String, Role> = clients.into_iter().map(role).collect();
        ApiSettings {
            socket,
            socket_group: self.numbers("api.socket_group", group_number).first().copied(),
            listen: self.tcp_api(&tokens, &clients),
            tokens,
            clients,
            peers: PeerSettings {
                uids: self.numbers("api.peers.uids", user_number),
                gids: self.numbers("api.peers.gids", group_number),
            },
        }
    }

    fn tokens(&mut self) -> Vec<TokenSettings> {
        let mut tokens = Vec::new();
        for name in self.names_below("api.token") {
            let file_path = [path("api.token"), vec![name.clone(), "file".to_owned()]].concat();
            let role = self.value_at(&role_of("api.token", &name));
            match self.value_at::<Option<SecretFile>>(&file_path) {
                Some(file) => tokens.push(TokenSettings { name, role, file }),
                None if self.merged.values.contains_key(&file_path) => {} // said already
                None => {
                    let named = [path("api.token"), vec![name.clone(), "name".to_owned()]].concat();
                    let origin = self.origin(&named);
                    self.merged.problem(
                        origin,
                        format!("the token {name:?} needs a `file`, a path or `credential:NAME`"),
                    );
                }
            }
        }
        tokens
    }

    fn tcp_api(
        &mut self,
        tokens: &[TokenSettings],
        clients: &BTreeMap<String, Role>,
    ) -> Option<TcpApiSettings> {
        let address: Option<SocketAddr> = self.get("api.listen");
        let certificate: Option<PathBuf> = self.get("api.certificate");
        let key: Option<SecretFile> = self.get("api.key");
        let client_ca: Option<PathBuf> = self.get("api.client_ca");
        if client_ca.is_none() && !clients.is_empty() {
            let origin = self.origin_below("api.client");
            self.merged.problem(origin, "[[api.client]] counts only with api.client_ca");
        }
        let address = address?;
        if tokens.is_empty() && client_ca.is_none() {
            self.wrong("api.listen", "nobody could use it: a [[api.token]] or api.client_ca is wanted too");
        }
        let (Some(certificate), Some(key)) = (certificate, key) else {
            self.wrong(
                "api.listen",
                "api.certificate and api.key are wanted too: the API is served over TLS only",
            );
            return None;
        };
        Some(TcpApiSettings { address, certificate, key, client_ca })
    }

    fn store_url(&mut self, state: &Path) -> String {
        let url = self.text_or("store.url", &format!("sqlite:{}", state.join("firstlight.db").display()));
        let after_scheme = url.split_once("://").map_or("", |(_, rest)| rest);
        let authority = after_scheme.split(['/', '?']).next().unwrap_or_default();
        let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
        let query = url.split_once('?').map_or("", |(_, query)| query);
        if user.contains(':') || query.split('&').any(|pair| pair.starts_with("password=")) {
            self.wrong("store.url", "a password has no place here: name its file with store.password_file");
            self.hide("store.url");
        } else if !["sqlite:", "postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            self.wrong("store.url", "sqlite:/PATH or postgres://USER@HOST/DATABASE is wanted");
        } else if let Some(path) = url.strip_prefix("sqlite:")
            && Path::new(path).parent() != Some(state)
        {
            // The lock of the folder is what keeps a second companion off the file.
            self.wrong("store.url", "the embedded store lives in the state folder itself");
        }
        url
    }

    fn report_url(&mut self) -> Option<String> {
        let url: String = self.get("reports.url");
        if url.is_empty() {
            return None;
        }
        let host = url.strip_prefix("https://").map(|rest| rest.trim_end_matches('/'));
        if host.is_none_or(|host| host.is_empty() || host.contains(['/', '@', '?', '#', ' '])) {
            self.wrong("reports.url", "https://HOST:PORT is wanted");
        }
        Some(url.trim_end_matches('/').to_owned())
    }

    fn report_connections(&mut self) -> usize {
        let count: u32 = self.get("reports.connections_per_address");
        if !(1..=256).contains(&count) {
            self.wrong("reports.connections_per_address", "from 1 to 256, all there are, is wanted");
        }
        usize::try_from(count).unwrap_or_default()
    }

    fn log_level(&mut self) -> String {
        let level: String = self.get("log.level");
        if let Err(what) = log_directives(&level) {
            self.wrong("log.level", &what);
        }
        level
    }

    /// A key that is not set has its type's own default.
    pub(super) fn get<T: Setting>(&mut self, key: &str) -> T {
        self.value_at(&path(key))
    }

    fn text_or(&mut self, key: &str, default: &str) -> String {
        let default = Located { value: Value::Text(default.to_owned()), origin: Origin::Default };
        self.merged.values.entry(path(key)).or_insert(default);
        self.get(key)
    }

    pub(super) fn path_or(&mut self, key: &str, default: &Path) -> PathBuf {
        let text = self.text_or(key, &default.to_string_lossy());
        // A default follows from the state folder, of which it is said already if it cannot be used.
        if self.origin(&path(key)) == Origin::Default { PathBuf::from(text) } else { self.get(key) }
    }

    pub(super) fn value_at<T: Setting>(&mut self, path: &[String]) -> T {
        let Some(found) = self.merged.values.get(path) else { return T::default() };
        if let Some(value) = T::read(&found.value) {
            return value;
        }
        // A value that should name a secret may be the secret itself: it is not repeated.
        let is_secret = keys::find(path).is_some_and(|key| key.is_secret());
        let said = if is_secret { String::new() } else { format!(" = {}", found.value) };
        let message = format!("{}{said}: {} is wanted", shown(path), T::WANTED);
        let origin = found.origin.clone();
        self.merged.problem(origin, message);
        T::default()
    }

    pub(super) fn names_below(&self, table: &str) -> Vec<String> {
        let table = path(table);
        let below = self.merged.values.keys().filter(|path| path.starts_with(&table));
        let mut names: Vec<String> = below.filter_map(|path| path.get(table.len()).cloned()).collect();
        names.dedup();
        names
    }

    fn numbers(&mut self, key: &str, number: fn(&str) -> Option<u32>) -> Vec<u32> {
        let mut numbers = Vec::new();
        for account in self.get::<Vec<Account>>(key) {
            match account {
                Account::Number(number) => numbers.push(number),
                Account::Name(name) => match number(&name) {
                    Some(number) => numbers.push(number),
                    None => self.wrong(key, &format!("this machine knows no {name:?}")),
                },
            }
        }
        numbers
    }

    pub(super) fn origin(&self, path: &[String]) -> Origin {
        self.merged.values.get(path).map_or(Origin::Default, |found| found.origin.clone())
    }

    fn origin_below(&self, table: &str) -> Origin {
        let table = path(table);
        let first = self.merged.values.iter().find(|(path, _)| path.starts_with(&table));
        first.map_or(Origin::Default, |(_, found)| found.origin.clone())
    }

    pub(super) fn wrong(&mut self, key: &str, what: &str) {
        let origin = self.origin(&path(key));
        self.merged.problem(origin, format!("{key}: {what}"));
    }

    fn hide(&mut self, key: &str) {
        if let Some(found) = self.merged.values.get_mut(&path(key)) {
            found.value = Value::Text("(hidden)".to_owned());
        }
    }
}

/// The control socket, where it and the state folder can be used, whatever else is wrong.
pub(super) fn socket(merged: &Merged) -> Option<PathBuf> {
    let read = |key: &str| PathBuf::read(&merged.values.get(&path(key))?.value);
    read("state")?;
    read("api.socket").filter(|socket| socket.as_os_str().len() <= SOCKET_PATH_LIMIT)
}

/// Whether these directives (as of RUST_LOG) give everything a level, and hide no error.
pub(crate) fn log_directives(text: &str) -> Result<(), String> {
    const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];
    tracing_subscriber::EnvFilter::builder().parse(text).map_err(|error| error.to_string())?;
    let is = |word: &str, level: &str| word.trim().eq_ignore_ascii_case(level);
    // A misspelt level would be the name of a module, and everything else silent.
    if !text.split(',').any(|one| LEVELS.iter().any(|level| is(one, level))) {
        return Err(format!("one of {} is wanted, alone or beside directives", LEVELS.join(", ")));
    }
    let ends = text.split(',').filter_map(|one| one.rsplit('=').next());
    if ends.into_iter().any(|end| is(end, "off") || is(end, "0")) {
        return Err("errors are always shown: `error` is the least".to_owned());
    }
    Ok(())
}

fn role_of(table: &str, name: &str) -> KeyPath {
    [path(table), vec![name.to_owned(), "role".to_owned()]].concat()
}

/// Of a key without chosen names.
pub(super) fn path(key: &str) -> KeyPath {
    key.split('.').map(ToOwned::to_owned).collect()
}

fn user_number(name: &str) -> Option<u32> {
    nix::unistd::User::from_name(name).ok().flatten().map(|user| user.uid.as_raw())
}

fn group_number(name: &str) -> Option<u32> {
    nix::unistd::Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw())
}
