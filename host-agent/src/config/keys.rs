//! Every key there is. Loading, `config check`, the sample file and docs/companion.md are all held against this table.

/// One key of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// With dots; `*` stands for a name that the operator chooses.
    pub path: &'static str,
    /// As it would be written; none: nothing is set, or it follows from something else (see `help`).
    pub default: Option<&'static str>,
    /// A reload (SIGHUP) is enough; otherwise the companion must be started again.
    pub reloads: bool,
    /// One line for people.
    pub help: &'static str,
}

impl Key {
    /// The value names a secret's place; whoever writes the secret itself there must not see it repeated.
    pub fn is_secret(&self) -> bool {
        matches!(
            self.path,
            "store.password_file"
                | "reports.key"
                | "api.key"
                | "api.token.*.file"
                | "proxmox.token"
                | "incus.remote.*.key"
                | "ssh_ca.key"
                | "webhook.*.secret"
        )
    }
}

const fn key(path: &'static str, default: Option<&'static str>, reloads: bool, help: &'static str) -> Key {
    Key { path, default, reloads, help }
}

const RESTART: bool = false;
const RELOAD: bool = true;

/// The table, in the order of the sample file.
#[rustfmt::skip] // a table: one line for each key
pub const KEYS: &[Key] = &[
    key("state", Some("/var/lib/firstlight-host"), RESTART, "folder of the store, the lock and the control socket"),
    key("store.url", None, RESTART, "sqlite:/PATH or postgres://USER@HOST/DATABASE; default: sqlite in the state folder"),
    key("store.password_file", None, RESTART, "file or credential with the password of PostgreSQL"),
    key("store.root_certificate", None, RESTART, "file of the authority (PEM) that signed PostgreSQL's certificate, which is then demanded"),
    key("companion.name", None, RESTART, "name of this companion among those of one store; default: the host name"),
    key("companion.room", Some("10000"), RESTART, "jobs driven at once, waiting ones included"),
    key("companion.lease", Some("20s"), RESTART, "how long a job stays ours without being renewed"),
    key("companion.grace", Some("60s"), RESTART, "how long after a lease's end another companion takes the job over"),
    key("companion.drain", Some("30s"), RELOAD, "how long a stop waits for steps to end"),
    key("limits.*", None, RELOAD, "jobs that work at once on a resource (`\"node:pve1\"`) or on each of a kind (`node`)"),
    key("budget.*", None, RELOAD, "memory that running guests may have together on a resource (`\"node:pve1\" = \"24G\"`, `\"project:local/default\"`), those of others included"),
    key("reports.listen", Some("0.0.0.0:7443"), RESTART, "where reports are taken; local guests use the same port in their own network"),
    key("reports.url", None, RESTART, "what guests are told, where several companions stand behind one address"),
    key("reports.connections_per_address", Some("8"), RESTART, "report connections of one address at once, from 1 to 256"),
    key("reports.key", None, RESTART, "file or credential with the listener's key (PEM); default: kept in the store"),
    key("api.socket", None, RESTART, "the control socket; default: control.sock in the state folder"),
    key("api.socket_group", None, RESTART, "group that may open the control socket; its members are obeyed as operators"),
    key("api.listen", None, RESTART, "address and port of the API over TLS; default: none"),
    key("api.certificate", None, RELOAD, "file of the API's certificate chain (PEM)"),
    key("api.key", None, RELOAD, "file or credential with the API's private key (PEM)"),
    key("api.client_ca", None, RELOAD, "file of the authorities (PEM) whose client certificates are let in"),
    key("api.peers.uids", Some("[]"), RELOAD, "users, beside root and the companion's own, whom the control socket obeys"),
    key("api.peers.gids", Some("[]"), RELOAD, "groups whom the control socket obeys"),
    key("api.token.*.name", None, RELOAD, "who holds the token, for the log and for jobs"),
    key("api.token.*.role", Some("read"), RELOAD, "`read` (GET only) or `operator`"),
    key("api.token.*.file", None, RELOAD, "file or credential with the token"),
    key("api.client.*.name", None, RELOAD, "common name of a client certificate; without any [[api.client]] all are operators"),
    key("api.client.*.role", Some("read"), RELOAD, "`read` (GET only) or `operator`"),
    key("retention.jobs", Some("90d"), RELOAD, "how long ended jobs are kept; `never` prunes none"),
    key("retention.reports", Some("90d"), RELOAD, "how long reports and refusals without a job are kept; `never` prunes none"),
    key("secrets.files", Some("[\"/etc/firstlight/secrets\"]"), RESTART, "folders of which files may be guests' secrets (`file` in a spec)"),
    key("secrets.commands", Some("[]"), RESTART, "programs that may print guests' secrets (`command` in a spec), by their absolute paths"),
    key("ssh_ca.enabled", Some("true"), RESTART, "certify guests' host keys, once `firstlight ca init` has made the CA's key"),
    key("ssh_ca.key", None, RESTART, "file of the host CA's key (OpenSSH), its public half in FILE.pub; default: ssh_ca in the state folder"),
    key("ssh_ca.agent", None, RESTART, "socket of an ssh-agent that has the key of FILE.pub; default: the key is in the file"),
    key("ssh_ca.validity", Some("90d"), RESTART, "how long a host certificate holds"),
    key("ssh_ca.renew_before", Some("30d"), RESTART, "how long before its end a guest that sends evidence gets a new one"),
    key("ssh_ca.domains", Some("[]"), RESTART, "domains in which guests' names are certified too: `lab.example` for web-01.lab.example"),
    key("local.folder", None, RESTART, "where local guests live; default: the state folder"),
    key("proxmox.addresses", None, RESTART, "nodes of the cluster (or the only one), HOST or HOST:PORT, asked in this order; without any there is no backend `proxmox`"),
    key("proxmox.token", None, RESTART, "file or credential with the API token, USER@REALM!NAME=SECRET"),
    key("proxmox.keys", None, RESTART, "the nodes' keys, `sha256//BASE64`: `firstlight trust ADDRESS` shows and writes them; exactly one of keys, ca and fingerprints is wanted"),
    key("proxmox.ca", None, RESTART, "file of the cluster's authority (PEM), a copy of /etc/pve/pve-root-ca.pem"),
    key("proxmox.fingerprints", None, RESTART, "SHA-256 of the nodes' certificates, `AA:BB:..`; they change at each renewal, keys and authority do not"),
    key("proxmox.node", None, RESTART, "node of guests whose spec names none; default: where the golden is, or the one with the most free memory"),
    key("proxmox.storage", None, RESTART, "storage of root disks whose spec names none; default: the golden's own"),
    key("proxmox.pool", None, RESTART, "pool of guests whose spec names none"),
    key("proxmox.bridge", Some("vmbr0"), RESTART, "bridge of interfaces whose spec names none"),
    key("proxmox.vmids", Some("100-999999999"), RESTART, "numbers that guests are given, FIRST-LAST"),
    key("proxmox.tags", Some("[\"firstlight\"]"), RESTART, "tags of every guest, beside those of its spec"),
    key("proxmox.allow_root_lines", Some("false"), RESTART, "take goldens with lines that work as root on the node (`hookscript`, `args`, raw lxc lines, which a token's restore drops)"),
    key("incus.socket", None, RESTART, "socket of an Incus server on this machine, the remote `local`; without it and any [[incus.remote]] there is no backend `incus`"),
    key("incus.project", None, RESTART, "project of `local` where a spec names none; default: `default`"),
    key("incus.default", None, RESTART, "the remote of guests whose spec names none; default: `local`, or the first by name"),
    key("incus.profiles", Some("[\"default\"]"), RESTART, "profiles of instances made from images"),
    key("incus.pool", None, RESTART, "storage pool of root disks and volumes whose spec names none; default: as the profiles have it"),
    key("incus.network", None, RESTART, "network or bridge of interfaces whose spec names none; default: as the profiles' first one"),
    key("incus.remote.*.name", None, RESTART, "what specs call a server that is reached over HTTPS"),
    key("incus.remote.*.address", None, RESTART, "its address, https://HOST or https://HOST:PORT"),
    key("incus.remote.*.keys", None, RESTART, "its keys, `sha256//BASE64`; exactly one of keys, server_certificate, ca and fingerprints is wanted"),
    key("incus.remote.*.server_certificate", None, RESTART, "file of its own certificate (PEM), whose key counts: its `server.crt`, or what `incus remote add` keeps in servercerts/"),
    key("incus.remote.*.ca", None, RESTART, "file of the authority (PEM) that signed its certificate"),
    key("incus.remote.*.fingerprints", None, RESTART, "SHA-256 of its certificate, as `incus info` shows it on the server"),
    key("incus.remote.*.certificate", None, RESTART, "file of our certificate (PEM), which the server trusts (`incus config trust add-certificate`)"),
    key("incus.remote.*.key", None, RESTART, "file or credential with its private key (PEM)"),
    key("incus.remote.*.project", None, RESTART, "project of guests whose spec names none; default: `default`"),
    key("incus.remote.*.proxy", None, RESTART, "http://HOST:PORT or socks5://HOST:PORT on the way to it"),
    key("webhook.*.name", None, RESTART, "what the webhook is called; letters, digits and `-_.`"),
    key("webhook.*.url", None, RESTART, "where ends of jobs are told, https://HOST/PATH; see docs/webhooks.md"),
    key("webhook.*.secret", None, RESTART, "file or credential with what both sides know, `whsec_` and base64 of 24 to 64 bytes"),
    key("webhook.*.events", None, RESTART, "what is told: ready, failed, destroyed, needs-operator, abandoned, changed, change-failed; default: the first four"),
    key("webhook.*.ca", None, RESTART, "file of the authorities (PEM) that may vouch for the receiver; default: /etc/ssl/certs/ca-certificates.crt"),
    key("webhook.*.keys", None, RESTART, "the receiver's keys instead, `sha256//BASE64`"),
    key("webhook.*.insecure", Some("false"), RESTART, "take an http:// address of another machine: whoever stands in between reads and withholds what is told"),
    key("otel.endpoint", None, RESTART, "a collector of OpenTelemetry traces, http://127.0.0.1:4318 for one: OTLP over HTTP with JSON; see docs/telemetry.md"),
    key("otel.ca", None, RESTART, "file of the authorities (PEM) that may vouch for it; default: /etc/ssl/certs/ca-certificates.crt"),
    key("otel.insecure", Some("false"), RESTART, "take an http:// address of another machine"),
    key("log.level", Some("info"), RELOAD, "error, warn, info, debug or trace, alone or beside directives as of RUST_LOG"),
];

/// Limits that count when the configuration says nothing of the kind.
pub(super) const DEFAULT_LIMITS: &[(&str, i64)] = &[("node", 4), ("storage", 4)];

/// Tables that are written as `[[table]]` with a `name`.
pub(super) const NAMED: &[&str] = &["api.token", "api.client", "incus.remote", "webhook"];

/// Words besides the rule (`FIRSTLIGHT_` and the path in capitals) for keys that are set often.
const SHORT_VARIABLES: &[(&str, &str)] =
    &[("FIRSTLIGHT_LISTEN", "reports.listen"), ("FIRSTLIGHT_LOG", "log.level")];

/// The key that a path belongs to.
pub(super) fn find(path: &[String]) -> Option<&'static Key> {
    KEYS.iter().find(|key| matches(key.path, path, true))
}

/// Whether keys lie below this path.
pub(super) fn is_table(path: &[String]) -> bool {
    KEYS.iter().any(|key| matches(key.path, path, false))
}

fn matches(pattern: &str, path: &[String], whole: bool) -> bool {
    let words: Vec<&str> = pattern.split('.').collect();
    let fits = words.iter().zip(path).all(|(word, segment)| *word == "*" || word == segment);
    fits && if whole { words.len() == path.len() } else { words.len() > path.len() }
}

/// The variables that set keys without `*`, with the key of each.
pub(super) fn variables() -> impl Iterator<Item = (String, &'static str)> {
    let rule = KEYS
        .iter()
        .filter(|key| !key.path.contains('*'))
        .map(|key| (format!("FIRSTLIGHT_{}", key.path.replace('.', "_").to_uppercase()), key.path));
    let short = SHORT_VARIABLES.iter().map(|(variable, path)| ((*variable).to_owned(), *path));
    short.chain(rule)
}

/// The key most like what was written.
pub(super) fn nearest(path: &[String]) -> &'static str {
    let written = path.join(".");
    let last = path.last().map_or("", String::as_str);
    // A right word in the wrong table is as near as a wrong word in the right one, and tables are misspelt too.
    let distance = |key: &Key| {
        let whole = strsim::damerau_levenshtein(&written, key.path);
        let word = strsim::damerau_levenshtein(last, key.path.rsplit('.').next().unwrap_or_default());
        let tables = key.path.match_indices('.').map(|(end, _)| key.path.get(..end).unwrap_or_default());
        let table =
            tables.map(|table| strsim::damerau_levenshtein(&written, table)).min().unwrap_or(usize::MAX);
        (whole.min(word + 2).min(table), whole)
    };
    KEYS.iter().min_by_key(|key| distance(key)).map_or("state", |key| key.path)
}
