//! The configuration's `[proxmox]` is a backend of whatever works on it, with a companion or without.

use std::os::unix::fs::PermissionsExt as _;

use firstlight_tests::simpve::example::CONTAINER_GOLDEN;

use crate::operator::{Operator, world};

fn spec(operator: &Operator, backend: &str) -> String {
    operator.spec(&format!(
        "[[guest]]\nname = \"web-01\"\nbackend = \"{backend}\"\ngolden = {CONTAINER_GOLDEN:?}\nstorage = \"thin\"\n"
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_asks_the_cluster() {
    let operator = Operator::of(world(1));
    let proxmox = spec(&operator, "proxmox");
    operator.run(&["plan", &proxmox]).await.ends_with(0).says(&["web-01", "create"]);
    assert!(operator.sim.requests().iter().any(|request| request.path.ends_with("/vzdump/extractconfig")));
    let vmware = spec(&operator, "vmware");
    operator
        .run(&["plan", &vmware])
        .await
        .ends_with(3)
        .says(&["no backend `vmware`", "`local` and `proxmox`"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_table_there_is_no_such_backend() {
    let operator = Operator::of(world(1));
    std::fs::write(operator.path("firstlight.toml"), format!("state = {:?}\n", operator.path("state")))
        .unwrap();
    let proxmox = spec(&operator, "proxmox");
    let ran = operator.run(&["plan", &proxmox]).await.ends_with(3);
    ran.says(&["no backend `proxmox` here: it has `local`", "docs/proxmox.md"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_others_may_read_starts_nothing() {
    let operator = Operator::of(world(1));
    std::fs::set_permissions(operator.path("token"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let proxmox = spec(&operator, "proxmox");
    let refused = ["the backend `proxmox` cannot be used", "may be read by others", "hint: "];
    operator.run(&["up", &proxmox]).await.ends_with(4).says(&refused);
    operator.run(&["serve", "--listen", "127.0.0.1:7999"]).await.ends_with(4).says(&refused);
    assert!(operator.sim.requests().is_empty(), "nobody was asked");
    operator.write_token("short");
    operator.run(&["up", &proxmox]).await.ends_with(4).says(&["holds no token", "pveum user token add"]);
}
