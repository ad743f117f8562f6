//! What docs/proxmox.md shows works on the simulated cluster that `cargo xtask simpve` serves.

use std::process::Stdio;
use std::time::Duration;

use firstlight_tests::simpve::example::{SECRET, SMALL_TOKEN, add_small_token};
use firstlight_tests::simpve::profile::Profile;
use tokio::process::Command;

use crate::field::Cluster;
use crate::operator::{Operator, finding, world};

const PAGE: &str = include_str!("../../../docs/proxmox.md");

/// The specs of the page: the quick start's, and the long one.
fn specs() -> [&'static str; 2] {
    let blocks = PAGE.split("```toml\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    let specs: Vec<_> = blocks.into_iter().filter(|block| block.contains("[[guest]]")).collect();
    specs.try_into().expect("the page shows two specs")
}

/// The long spec of the page.
fn spec() -> &'static str {
    specs()[1]
}

async fn run(cluster: &Cluster, words: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstlight"));
    command.args(words).arg("--config").arg(cluster.place.path("firstlight.toml"));
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(120), command.output()).await;
    let output = output.expect("it ends").unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.code().unwrap_or(-1), said.concat())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_guests_of_the_page_come_up() {
    let cluster = Cluster::of(2, Profile::instant(), "info");
    let _companion = cluster.companion().await;
    let path = cluster.place.path("web.toml").display().to_string();
    std::fs::write(&path, spec()).unwrap();
    for words in [&["doctor", "--spec", &path][..], &["plan", &path], &["up", &path]] {
        let (code, said) = run(&cluster, words).await;
        assert_eq!(code, 0, "{words:?}: {said}");
    }
    assert_eq!(cluster.guests().len(), 4, "web-01, web-02, web-03 and db");
    cluster.sim.with_world(|world| {
        let db = &world.guests[&9000];
        assert_eq!((db.get("hostname"), db.node.as_str()), (Some("db"), "pve2"));
        assert!(world.pools["lab"].contains(&9000));
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guests_of_the_quick_start_come_up_without_a_daemon() {
    let cluster = Cluster::of(1, Profile::instant(), "info");
    let path = cluster.place.path("web.toml").display().to_string();
    std::fs::write(&path, specs()[0]).unwrap();
    let (code, said) = run(&cluster, &["doctor", "--spec", &path]).await;
    assert_eq!(code, 0, "{said}");
    let (code, said) = run(&cluster, &["up", &path]).await;
    assert_eq!(code, 0, "{said}");
    assert_eq!(cluster.guests().len(), 3, "web-01, web-02 and web-03");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_small_token_is_enough_for_guests_of_its_pool() {
    let mut world = world(1);
    add_small_token(&mut world);
    let operator = Operator::of(world);
    std::fs::write(operator.path("token"), format!("{SMALL_TOKEN}={SECRET}\n")).unwrap();
    let (defaults, _) = spec().split_once("[[guest]]").expect("defaults come first");
    let guest = |more: &str| operator.spec(&format!("{defaults}[[guest]]\nname = \"web-01\"\n{more}\n"));
    let mine = guest("pool = \"lab\"");
    operator.doctor(&["--spec", &mine], 0).await;
    operator.run(&["plan", &mine]).await.ends_with(0);
    let found = operator.doctor(&["--spec", &guest("")], 1).await;
    assert_eq!(finding(&found, "rights on /vms/").0, "fail");
}
