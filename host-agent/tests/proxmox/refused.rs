//! What cannot work is refused before anything is done: by `plan` and `up` alike, in the same words, with the same code.

use firstlight_tests::run::Ran;
use firstlight_tests::simpve::example::{CONTAINER_GOLDEN, TOKEN};
use firstlight_tests::simpve::guest::Kind;

use crate::operator::{Operator, world};

/// With pools that the token sees, a guest of somebody else, and rights on everything.
fn operator() -> Operator {
    let mut world = world(1);
    world.access.role("Pools", &["Pool.Audit"]);
    world.access.grant_both("/pool", TOKEN, "Pools");
    world.put_guest(101, Kind::Lxc, "pve1", &[("hostname", "taken"), ("description", "by hand")]);
    Operator::of(world)
}

fn guest(name: &str, more: &str) -> String {
    let golden =
        if more.contains("golden") { String::new() } else { format!("golden = {CONTAINER_GOLDEN:?}\n") };
    format!("[[guest]]\nname = \"{name}\"\nbackend = \"proxmox\"\n{golden}{more}\n")
}

fn error(ran: &Ran) -> String {
    ran.stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plan_and_up_refuse_alike_and_up_names_the_guest() {
    let operator = operator();
    for (name, more, code, said) in [
        ("web-01", "storage = \"nowhere\"", 3, "pve1 has no `nowhere`"),
        ("web-01", "storage = \"vault\"", 3, "`vault` takes no `rootdir`"),
        ("web-01", "disk = \"1G\"", 3, "less than the golden's 4G"),
        ("web-01", "node = \"pve9\"", 3, "the cluster has no `pve9`"),
        ("web-01", "vmid = 101", 3, "another guest has 101"),
        ("web-01", "nics = [{ bridge = \"vmbr9\" }]", 3, "no `vmbr9`"),
        ("web-01", "pool = \"nowhere\"", 3, "the cluster has no `nowhere`"),
        ("web-01", "kind = \"vm\"", 3, "backup of a container"),
        (
            "web-01",
            "golden = \"local:backup/vzdump-lxc-9100-2020_01_01-00_00_00.tar.zst\"",
            3,
            "pve1 has no `local:backup/vzdump-lxc-9100-2020",
        ),
        ("taken", "", 3, "something called taken is there already, and belongs to: container 101 on pve1"),
    ] {
        let spec = operator.spec(&guest(name, more));
        let planned = operator.run(&["plan", &spec]).await.ends_with(code).says(&[said, "hint: "]);
        let refused = operator.run(&["up", &spec]).await.ends_with(code).says(&[said, "hint: "]);
        assert_eq!(error(&planned), error(&refused), "{more}");
        assert!(error(&refused).starts_with(&format!("error: {name}: ")), "{refused:#?}");
        assert!(refused.stdout.is_empty(), "{refused:#?}");
    }
    // By the spec alone.
    let far = "nics = [{ address = \"10.0.0.5/24\", gateway = \"10.0.1.1\" }]";
    for command in ["plan", "up"] {
        let spec = operator.spec(&guest("web-01", far));
        operator.run(&[command, &spec]).await.ends_with(3).says(&["guest `web-01`", "nics.gateway", "/32"]);
    }
    assert!(operator.sim.requests().iter().all(|one| one.method.as_str() == "GET"), "nothing was done");
    let jobs = operator.run(&["jobs", "--json"]).await.ends_with(0);
    assert!(jobs.stdout.contains("\"jobs\": []"), "{jobs:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_guest_that_is_refused_is_named_and_the_good_ones_are_not_made() {
    let operator = operator();
    let text = [
        guest("web-01", "storage = \"nowhere\""),
        guest("web-02", ""),
        guest("web-03", "storage = \"nowhere\""),
        guest("db", "pool = \"nowhere\""),
    ];
    let spec = operator.spec(&text.concat());
    let refused = operator.run(&["up", &spec]).await.ends_with(3);
    let said = error(&refused);
    assert!(
        said.starts_with("error: 3 guests are refused: web-01, web-03: storage: ")
            && said.contains("; db: pool: "),
        "{refused:#?}"
    );
    assert!(operator.sim.requests().iter().all(|one| one.method.as_str() == "GET"), "nothing was done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_token_lacks_is_not_the_specs_fault() {
    let operator = operator();
    operator.sim.with_world(|world| world.access.revoke("/pool", TOKEN));
    operator.write_token("99999999-0000-0000-0000-000000000000");
    let spec = operator.spec(&guest("web-01", ""));
    for command in ["plan", "up"] {
        operator.run(&[command, &spec]).await.ends_with(4).says(&["error: ", "pveum user token list"]);
    }
}
