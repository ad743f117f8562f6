//! Where a store is, and how to get in.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use firstlight_shared::secret::Secret;
use sqlx::postgres::PgConnectOptions;

use crate::store::error::StoreError;

/// The address of a store: a file, or a database on a PostgreSQL server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    File(PathBuf),
    Server(Server),
}

/// A database on a PostgreSQL server. Neither `Debug` nor `Display` shows the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    url: String,
    password: Option<Secret>,
    root_certificate: Option<PathBuf>,
}

impl FromStr for Location {
    type Err = StoreError;

    /// A path, `sqlite:PATH`, or `postgres://user@host:port/database?sslmode=verify-full`; through a unix socket
    /// `postgres:///database?host=/run/postgresql&user=firstlight`.
    fn from_str(address: &str) -> Result<Self, StoreError> {
        let refused = |what: &str| StoreError::Address { what: what.to_owned() };
        if address.starts_with("postgres://") || address.starts_with("postgresql://") {
            let authority = address.split("://").nth(1).unwrap_or_default().split(['/', '?']).next();
            let user = authority.unwrap_or_default().rsplit_once('@').map_or("", |(user, _)| user);
            if user.contains(':') || address.contains("password=") {
                return Err(refused("it has a password in it, which belongs in a credential file"));
            }
            if address.contains('#') {
                return Err(refused("`#` has no meaning in it"));
            }
            let parsed = address.parse::<PgConnectOptions>();
            parsed.map_err(|error| StoreError::Address { what: error.to_string() })?;
            return Ok(Self::Server(Server {
                url: address.to_owned(),
                password: None,
                root_certificate: None,
            }));
        }
        let path = match address.strip_prefix("sqlite:") {
            Some(path) => path.strip_prefix("//").unwrap_or(path),
            None if address.contains("://") => return Err(refused("only SQLite and PostgreSQL are known")),
            None => address,
        };
        match Path::new(path).file_name() {
            Some(_) => Ok(Self::File(PathBuf::from(path))),
            None => Err(refused("it names no file")),
        }
    }
}

impl Location {
    /// The password of the server's user. A file has none.
    #[must_use]
    pub fn with_password(mut self, password: Secret) -> Self {
        if let Self::Server(server) = &mut self {
            server.password = Some(password);
        }
        self
    }

    /// PEM of the authority that signed the server's certificate, which is then demanded and checked with its name.
    #[must_use]
    pub fn with_root_certificate(mut self, path: &Path) -> Self {
        if let Self::Server(server) = &mut self {
            server.root_certificate = Some(path.to_owned());
        }
        self
    }
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(formatter),
            Self::Server(server) => formatter.write_str(&server.url),
        }
    }
}

impl Server {
    /// The address with everything in it; a secret.
    pub(super) fn full_address(&self) -> String {
        let mut address = self.url.clone();
        let mut add = |name: &str, value: &[u8]| {
            address.push(if address.contains('?') { '&' } else { '?' });
            address.push_str(name);
            address.push('=');
            address.push_str(&encoded(value));
        };
        if let Some(root) = &self.root_certificate {
            add("sslrootcert", root.as_os_str().as_encoded_bytes());
            add("sslmode", b"verify-full");
        }
        if let Some(password) = &self.password {
            add("password", password.expose());
        }
        add("application_name", b"firstlight");
        address
    }
}

/// Everything but letters, digits and `/._-` as `%xx`.
pub(super) fn encoded(bytes: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-".contains(byte);
    bytes
        .iter()
        .map(|byte| if plain(byte) { char::from(*byte).to_string() } else { format!("%{byte:02x}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart_and_none_holds_a_password() {
        for (address, path) in [
            ("state/firstlight.db", "state/firstlight.db"),
            ("sqlite:a.db", "a.db"),
            ("sqlite:///v/a b.db", "/v/a b.db"),
        ] {
            assert_eq!(address.parse::<Location>().unwrap(), Location::File(path.into()));
        }
        for refused in [
            "",
            "/",
            "mysql://host/db",
            "postgres://u:secret@host/db",
            "postgres://h/db?password=secret",
            "postgres://h/db#x",
        ] {
            let error = refused.parse::<Location>().unwrap_err();
            assert!(
                matches!(error, StoreError::Address { .. }) && !error.to_string().contains("secret"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_password_is_only_in_the_full_address() {
        let location: Location = "postgres://fl@db.example/firstlight".parse().unwrap();
        let location = location.with_password(Secret::new(b"p&ss w".to_vec()));
        assert!(!format!("{location:?} {location}").contains("p&ss"));
        let Location::Server(server) = location else { panic!() };
        let address = server.full_address();
        assert!(address.contains("?password=p%26ss%20w&"), "{address}");
        assert_eq!(address.parse::<PgConnectOptions>().unwrap().get_username(), "fl");
    }
}
