//! Whoever answers for a hypervisor says what it likes: without end, too deep, too many, nothing at all, and words for the
//! terminal. The companion asks on, stays small, and takes honest guests' reports meanwhile.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::Duration;

use firstlight::backend::proxmox::client::link::Fingerprint;
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::honest;
use crate::server::{Reaction, SECRET, Server, ok};
use crate::site::Site;

/// In turn.
fn answers() -> Vec<Reaction> {
    let deep = "[".repeat(5_000_000);
    let guest = r#"{"type":"lxc","node":"pve1","id":"lxc/1","vmid":1,"status":"running","name":"\u001b]0;x\u0007\u202e"}"#;
    let many = format!("[{}]", vec![guest; 60_000].join(","));
    let number = format!("[{{\"vmid\":{}}}]", "9".repeat(1_000_000));
    vec![
        Reaction::Endless,
        ok(&deep),
        ok(&many),
        ok(&number),
        Reaction::Silence,
        Reaction::HangUp,
        ok("null"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_hypervisor_takes_neither_memory_nor_service() {
    let reactions = answers();
    let server = Server::start(move |number, _| reactions[number % reactions.len()].clone()).await;
    let guests = honest::guests(20);
    let (host, port) = (server.address.host.clone(), server.address.port);
    let fingerprint = Fingerprint::of(&server.certificate);
    let mut site = Site::with(&guests, |folder| {
        let token = folder.join("token");
        std::fs::write(&token, format!("lab@pve!host={SECRET}")).unwrap();
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
        format!("[proxmox]\naddresses = [\"{host}:{port}\"]\ntoken = {token:?}\nfingerprints = [\"{fingerprint}\"]\n")
    })
    .await;
    // Four who ask at once, each for two answers of 24 MiB that are put together from pieces.
    site.most_memory = 512;
    let spec = site.folder.path().join("spec.toml");
    let golden = "local:backup/vzdump-lxc-100-2026_01_01-00_00_00.tar.zst";
    std::fs::write(
        &spec,
        format!("[[guest]]\nname = \"web-01\"\nbackend = \"proxmox\"\ngolden = {golden:?}\n"),
    )
    .unwrap();

    let mut asking = JoinSet::new();
    for number in 0..4 {
        let verb = if number % 2 == 0 { "plan" } else { "up" };
        let mut command = Command::new(env!("CARGO_BIN_EXE_firstlight"));
        command.args([verb, "--config"]).arg(site.configuration()).arg(&spec);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        asking.spawn(async move {
            for _ in 0..3 {
                let output = command.spawn().unwrap().wait_with_output().await.unwrap();
                let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
                assert!(!output.status.success(), "{said}");
                assert!(!said.contains('\u{1b}') && !said.contains('\u{202e}'), "{said:?}");
                assert!(!said.contains("panicked") && !said.contains(SECRET), "{said}");
            }
            std::future::pending().await
        });
    }
    let fared = site.beside("a hostile hypervisor", asking, guests, Duration::from_millis(200)).await;
    assert!(server.seen().len() > 5, "it was asked {} times", server.seen().len());
    assert!(fared.longest < Duration::from_secs(10), "{fared:?}");
    assert!(!site.log().contains(SECRET));
}
