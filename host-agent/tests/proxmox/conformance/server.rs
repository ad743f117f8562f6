//! fakepve's server as a process of the test's own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use firstlight::backend::proxmox::client::link::{Address, Fingerprint};
use firstlight_tests::paths;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};

const PROGRAM: &str = include_str!("serve.py");
pub(super) const GOLDEN: &str = "local:backup/vzdump-lxc-9100-2026_11_21-11_14_04.tar.zst";

/// Ends with the test: its input does.
pub(super) struct FakePve {
    pub(super) address: Address,
    certificate: CertificateDer<'static>,
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl FakePve {
    pub(super) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let paths = ["certificate.pem", "key.pem"].map(|name| folder.path().join(name));
        std::fs::write(&paths[0], certificate.pem()).unwrap();
        std::fs::write(&paths[1], key.serialize_pem()).unwrap();
        let mut process = Command::new(paths::given(paths::FAKEPVE_VARIABLE))
            .args(["-c", PROGRAM])
            .args(paths)
            .args(["lab@pve!host", crate::server::SECRET])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().unwrap());
        let address = Address { host: "127.0.0.1".to_owned(), port: 0 };
        let mut server = Self { address, certificate: certificate.der().clone(), process, input, output };
        let port = server.line()["port"].as_u64().unwrap();
        server.address.port = u16::try_from(port).unwrap();
        server
    }

    /// As configurations have it.
    pub(super) fn fingerprint(&self) -> String {
        Fingerprint::of(&self.certificate).to_string()
    }

    /// Has a command carried out; see `serve.py`.
    pub(super) fn tell(&mut self, mut command: Value, what: &str) -> Value {
        command["do"] = json!(what);
        writeln!(self.input.as_mut().unwrap(), "{command}").unwrap();
        self.line()["data"].take()
    }

    /// The containers, other people's as well.
    pub(super) fn guests(&mut self) -> Vec<Value> {
        self.tell(json!({}), "guests").as_array().unwrap().clone()
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "fakepve ended: {:?}", self.process.wait());
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for FakePve {
    fn drop(&mut self) {
        drop(self.input.take());
        self.process.wait().unwrap();
    }
}
