//! The API and the pages over TLS: certificate, tokens, and the lines of configuration that name them.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use firstlight_tests::ports::free_address;

use crate::certificates::Authority;

pub(crate) struct Api {
    pub(crate) address: SocketAddr,
    /// Vouches for its certificate.
    pub(crate) authority: Authority,
    /// TOML.
    pub(crate) lines: String,
}

impl Api {
    /// Files in `folder`. `tokens`: name (of its file, too), role and word of each.
    pub(crate) fn new(folder: &Path, tokens: &[(&str, &str, &str)]) -> Self {
        let (authority, address) = (Authority::new(), free_address());
        let server = authority.sign("server");
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            path
        };
        let (certificate, key) = (write("server.pem", &server.certificate), write("server.key", &server.key));
        let mut lines =
            format!("[api]\nlisten = \"{address}\"\ncertificate = {certificate:?}\nkey = {key:?}\n");
        for (name, role, word) in tokens {
            let file = write(name, word);
            lines += &format!("[[api.token]]\nname = \"{name}\"\nrole = \"{role}\"\nfile = {file:?}\n");
        }
        Self { address, authority, lines }
    }
}
