//! `firstlight trust` against the simulated cluster.

use firstlight_tests::run::Ran;
use firstlight_tests::simpve::example::SECRET;

use crate::operator::{Operator, world};

fn shown<'a>(ran: &'a Ran, word: &str) -> &'a str {
    let line = ran.stdout.lines().find(|line| line.starts_with(word)).unwrap_or_else(|| panic!("{ran:#?}"));
    line[word.len()..].trim()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_pinned_one_by_one_and_stay_so_when_they_renew() {
    let operator = Operator::without_config(world(2));
    // Nothing is configured yet, and it need not be.
    for node in ["pve1", "pve2"] {
        let address = operator.address(node);
        let seen = operator
            .run(&["trust", &address])
            .await
            .ends_with(3)
            .says(&["pvenode cert info", "openssl x509"]);
        let (fingerprint, key) = (shown(&seen, "fingerprint").to_owned(), shown(&seen, "key").to_owned());
        let real = operator.sim.with_world(|world| world.nodes[node].certificate.fingerprint.clone());
        assert_eq!(fingerprint, real);
        assert!(
            shown(&seen, "subject").contains(node) && shown(&seen, "names").contains("127.0.0.1"),
            "{seen:#?}"
        );
        assert!(shown(&seen, "issuer").contains("Proxmox Virtual Environment"), "{seen:#?}");
        let given = if node == "pve1" { fingerprint } else { key };
        operator
            .run(&["trust", &address, "--fingerprint", &given, "--yes"])
            .await
            .ends_with(0)
            .says(&["pinned now"]);
    }
    let file = operator.path("firstlight.toml.d/50-proxmox-pin.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.matches("sha256//").count(), 2, "{text}");
    operator.configure("");
    operator.doctor(&[], 0).await;
    operator.sim.renew_certificate("pve1").unwrap();
    operator.doctor(&[], 0).await;
    let address = operator.address("pve1");
    let again = operator.run(&["trust", &address]).await.ends_with(3);
    let fingerprint = shown(&again, "fingerprint").to_owned();
    operator
        .run(&["trust", &address, "--fingerprint", &fingerprint])
        .await
        .ends_with(0)
        .says(&["pinned already"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    // It is asked for its certificate, and told nothing.
    assert!(!operator.sim.requests().iter().any(|request| format!("{request:?}").contains(SECRET)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_compared_is_not_pinned() {
    let operator = Operator::of(world(1));
    let address = operator.address("pve1");
    let other = "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    operator.run(&["trust", &address]).await.ends_with(3).says(&[
        "nobody is here",
        "nothing was pinned",
        "hint: ",
    ]);
    operator.run(&["trust", &address, "--yes"]).await.ends_with(2);
    let refused = operator.run(&["trust", &address, "--fingerprint", other]).await.ends_with(3);
    let refused = refused.says(&["another certificate than the one given", "stand in between"]);
    operator.run(&["trust", &address, "--fingerprint", "AA:BB"]).await.ends_with(2);
    operator.run(&["trust", "http://x"]).await.ends_with(2);
    operator.run(&["trust", "127.0.0.1:1"]).await.ends_with(4).says(&["127.0.0.1:1", "hint: "]);
    // The cluster's authority is pinned: two kinds of pins are one too many.
    let key = shown(&refused, "key").to_owned();
    operator
        .run(&["trust", &address, "--fingerprint", &key])
        .await
        .ends_with(4)
        .says(&["proxmox.ca is set at"]);
    assert!(!operator.path("firstlight.toml.d").exists());
    operator.run(&["trust", "--authority"]).await.ends_with(0).says(&["/etc/pve/pve-root-ca.pem", "ca = "]);
}

/// A terminal whose other side types this.
fn typed(text: &str) -> (std::os::fd::OwnedFd, std::os::fd::OwnedFd) {
    let pair = nix::pty::openpty(None, None).unwrap();
    nix::unistd::write(&pair.master, text.as_bytes()).unwrap();
    (pair.master, pair.slave)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_yes_is_a_yes() {
    let operator = Operator::without_config(world(1));
    let address = operator.address("pve1");
    for (answer, code) in [("no\n", 3), ("y\n", 3), ("\n", 3), ("\u{4}", 3), ("yes\n", 0)] {
        let (master, slave) = typed(answer);
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_firstlight"));
        command.args(["trust", &address, "--config"]).arg(operator.path("firstlight.toml"));
        command.stdin(slave.try_clone().unwrap()).stderr(slave).stdout(std::process::Stdio::piped());
        let child = command.spawn().unwrap();
        drop(command); // it holds the terminal
        let ended = tokio::time::timeout(std::time::Duration::from_secs(30), child.wait_with_output()).await;
        let mut said = Vec::new();
        // Whoever reads a terminal that nobody has open any more gets an error at its end.
        let _ = std::io::Read::read_to_end(&mut std::fs::File::from(master), &mut said);
        let said = String::from_utf8_lossy(&said);
        assert_eq!(ended.unwrap().unwrap().status.code(), Some(code), "{answer:?}: {said}");
        assert!(said.contains("is it the same? type `yes`"), "{said}");
        assert_eq!(said.contains("the answer was not `yes`: nothing was written"), code != 0, "{said}");
        assert_eq!(operator.path("firstlight.toml.d").exists(), code == 0, "{answer:?}");
    }
    let help = operator.run(&["trust", "--help"]).await.ends_with(0);
    help.says(&[
        "Usage: firstlight trust <ADDRESS>",
        "--fingerprint <FINGERPRINT> [--yes]",
        "writes nothing",
    ]);
}
