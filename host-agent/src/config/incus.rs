//! `[incus]`: how its values are read, and what of them belongs together.

use std::path::PathBuf;

use firstlight_shared::pin::SpkiPin;

use super::names::is_word;
use super::read::{Reader, path};
use super::secret::SecretFile;
use super::settings::{IncusSettings, PinSettings, RemotePlace, RemoteSettings};
use super::value::{Setting, Value, list_of};
use crate::backend::incus::client::link::{Address, Proxy, SERVERS};
use crate::backend::link::pin::Fingerprint;

const TABLE: &str = "incus";
const REMOTES: &str = "incus.remote";
/// What specs call the server of this machine.
const LOCAL: &str = "local";

impl Setting for Option<Address> {
    const WANTED: &'static str = "a server's address, https://HOST or https://HOST:PORT,";
    fn read(value: &Value) -> Option<Self> {
        SERVERS.read(value.text()?).ok().map(Some)
    }
}

impl Setting for Option<Proxy> {
    const WANTED: &'static str = "a proxy, http://HOST:PORT or socks5://HOST:PORT, without a password,";
    fn read(value: &Value) -> Option<Self> {
        value.text()?.parse().ok().map(Some)
    }
}

/// Of a remote, a project, a pool or a network.
#[derive(Default)]
struct Name(Option<String>);

impl Setting for Name {
    const WANTED: &'static str = "a name of letters, digits and `-_.`";
    fn read(value: &Value) -> Option<Self> {
        value.text().filter(|text| is_word(text)).map(|text| Self(Some(text.to_owned())))
    }
}

#[derive(Default)]
struct Names(Vec<String>);

impl Setting for Names {
    const WANTED: &'static str = "a list of names of letters, digits and `-_.`";
    fn read(value: &Value) -> Option<Self> {
        list_of(value, |text| is_word(text).then(|| text.to_owned())).map(Self)
    }
}

impl Reader<'_> {
    /// None: nothing of the table is set, or what is wrong with it has been said.
    pub(super) fn incus(&mut self) -> Option<IncusSettings> {
        let socket: Option<PathBuf> = self.get("incus.socket");
        let project = self.get::<Name>("incus.project").0;
        let usual = self.get::<Name>("incus.default").0;
        let profiles = self.get::<Names>("incus.profiles").0;
        let pool = self.get::<Name>("incus.pool").0;
        let network = self.get::<Name>("incus.network").0;
        let local = socket.map(|socket| RemoteSettings {
            name: LOCAL.to_owned(),
            place: RemotePlace::Socket(socket),
            project: project.unwrap_or_else(|| "default".to_owned()),
        });
        let names = self.names_below(REMOTES);
        let others: Vec<RemoteSettings> =
            names.into_iter().filter_map(|name| self.incus_remote(name, local.is_some())).collect();
        let mut remotes: Vec<RemoteSettings> = local.into_iter().chain(others).collect();
        if remotes.is_empty() {
            if let Some(origin) = self.first_set(TABLE) {
                let what = "incus.socket (a server of this machine) or an [[incus.remote]] is wanted too";
                self.problem(origin, what.to_owned());
            }
            return None;
        }
        if let Some(usual) = usual {
            match remotes.iter().position(|remote| remote.name == usual) {
                Some(index) => remotes[..=index].rotate_right(1),
                None => self.wrong("incus.default", "there is no such remote"),
            }
        }
        Some(IncusSettings { remotes, profiles, pool, network })
    }

    fn incus_remote(&mut self, name: String, has_local: bool) -> Option<RemoteSettings> {
        let of = |key: &str| [path(REMOTES), vec![name.clone(), key.to_owned()]].concat();
        let named = self.origin(&of("name"));
        if !is_word(&name) || (name == LOCAL && has_local) {
            let what = format!(
                "the remote {name:?} needs another name: letters, digits and `-_.`, and `local` is the socket's"
            );
            self.problem(named, what);
            return None;
        }
        let address: Option<Address> = self.value_at(&of("address"));
        let certificate: Option<PathBuf> = self.value_at(&of("certificate"));
        let key: Option<SecretFile> = self.value_at(&of("key"));
        let proxy: Option<Proxy> = self.value_at(&of("proxy"));
        let project = self.value_at::<Name>(&of("project")).0;
        let pin = self.incus_pin(&name);
        for (key, what) in [
            ("address", "`address`, https://HOST"),
            ("certificate", "`certificate`, the file of ours that the server trusts"),
            ("key", "`key`, the file or credential of its private key"),
        ] {
            if !self.merged.values.contains_key(&of(key)) {
                self.problem(named.clone(), format!("the remote {name:?} needs {what}"));
            }
        }
        if pin.is_none() {
            let what = "needs a pin, one of `keys`, `server_certificate`, `ca` and `fingerprints`: it is known by one kind, and never by nothing";
            self.problem(named, format!("the remote {name:?} {what}"));
        }
        let place =
            RemotePlace::Server { address: address?, pin: pin?, certificate: certificate?, key: key?, proxy };
        Some(RemoteSettings { name, place, project: project.unwrap_or_else(|| "default".to_owned()) })
    }

    /// None: there is none, or several kinds of them.
    fn incus_pin(&mut self, name: &str) -> Option<PinSettings> {
        let of = |key: &str| [path(REMOTES), vec![name.to_owned(), key.to_owned()]].concat();
        let keys: Vec<SpkiPin> = self.value_at(&of("keys"));
        let authority: Option<PathBuf> = self.value_at(&of("ca"));
        let own: Option<PathBuf> = self.value_at(&of("server_certificate"));
        let leaves: Vec<Fingerprint> = self.value_at(&of("fingerprints"));
        match (authority, own, keys.is_empty(), leaves.is_empty()) {
            (Some(path), None, true, true) => Some(PinSettings::Authority(path)),
            (None, Some(path), true, true) => Some(PinSettings::Servers(path)),
            (None, None, false, true) => Some(PinSettings::Keys(keys)),
            (None, None, true, false) => Some(PinSettings::Leaves(leaves)),
            _ => None,
        }
    }
}
