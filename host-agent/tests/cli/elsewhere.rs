//! A companion elsewhere: TLS, tokens, pins; and no way around them.

use std::os::unix::fs::PermissionsExt;

use firstlight_shared::pin::SpkiPin;
use firstlight_tests::ports::free_address;
use firstlight_tests::run::Ran;
use rcgen::{CertificateParams, KeyPair, PublicKeyData};

use crate::rig::{Rig, program, run};

struct There {
    rig: Rig,
    url: String,
    pin: String,
}

impl There {
    async fn serving() -> Self {
        let key = KeyPair::generate().unwrap();
        let pin = SpkiPin::of(&key.subject_public_key_info()).to_string();
        let certificate =
            CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let private = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            path
        };
        let address = free_address();
        let extra = format!(
            "[api]\nlisten = \"{address}\"\ncertificate = {:?}\nkey = {:?}\n\
             [[api.token]]\nname = \"ci\"\nrole = \"operator\"\nfile = {:?}\n\
             [[api.token]]\nname = \"page\"\nrole = \"read\"\nfile = {:?}\n",
            private("cert.pem", &certificate.pem()),
            private("key.pem", &key.serialize_pem()),
            private("operator", "does-a-lot-of-things\n"),
            private("reader", "looks-at-many-things\n"),
        );
        let rig = Rig::serving_with(&extra).await;
        for name in ["cert.pem", "operator", "reader"] {
            std::fs::copy(folder.path().join(name), rig.path(name)).unwrap();
        }
        Self { rig, url: format!("https://localhost:{}", address.port()), pin }
    }

    async fn run(&self, trust: &[&str], token: &str, words: &[&str]) -> Ran {
        let token = self.rig.path(token).display().to_string();
        let url = ["--url", &self.url, "--token-file", &token];
        run(program(&[&url, trust, words].concat())).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_works_from_elsewhere_with_a_pin_or_an_authority() {
    let there = There::serving().await;
    let pin = ["--pin", &there.pin];
    let spec = there.rig.spec(&["web-01"], "");
    let up = there.run(&pin, "operator", &["up", &spec]).await.ends_with(0);
    assert!(up.stdout.contains("SHA256:"), "{up:#?}");
    let certificate = there.rig.path("cert.pem").display().to_string();
    let shown = there.run(&["--ca", &certificate], "reader", &["show", "web-01"]).await.ends_with(0);
    assert!(shown.stdout.contains("by token:ci"), "{shown:#?}");
    let copy = there.rig.path("copy.db").display().to_string();
    there.run(&pin, "operator", &["store", "backup", &copy]).await.ends_with(0);
    there.run(&pin, "operator", &["destroy", "web-01"]).await.ends_with(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_not_trusted_or_not_known_gets_nowhere() {
    let there = There::serving().await;
    let pin = ["--pin", &there.pin];
    let other = SpkiPin::of(b"another key").to_string();
    let ran = there.run(&["--pin", &other], "operator", &["jobs"]).await.ends_with(5);
    ran.tells(&[&there.pin, &other, "nothing was sent"]);
    let ran = there.run(&["--ca", "/etc/ssl/certs/ca-certificates.crt"], "operator", &["jobs"]).await;
    assert!(ran.code == 5 || ran.code == 4, "{ran:#?}");

    std::fs::write(there.rig.path("operator"), "guessed").unwrap();
    there.run(&pin, "operator", &["jobs"]).await.ends_with(4).tells(&["not known"]);
    there.run(&pin, "reader", &["jobs"]).await.ends_with(0);
    there.run(&pin, "reader", &["destroy", "--all", "--yes"]).await.ends_with(0);
    there.run(&pin, "reader", &["store", "backup", "/tmp/never.db"]).await.ends_with(4).tells(&["read"]);
    assert!(!std::path::Path::new("/tmp/never.db").exists());
    std::fs::set_permissions(there.rig.path("reader"), std::fs::Permissions::from_mode(0o644)).unwrap();
    there.run(&pin, "reader", &["jobs"]).await.ends_with(4).tells(&["chmod 600"]);
}
