//! Surveys: what they find, and what they ask for.

use firstlight::backend::proxmox::Defaults;
use firstlight::backend::{Backend as _, Surveyed};
use firstlight_tests::simpve::call::Method;
use firstlight_tests::simpve::example::TOKEN;
use firstlight_tests::simpve::faults::{Fault, Rule};
use firstlight_tests::simpve::guest::Kind;
use firstlight_tests::simpve::world::World;

use super::rig::{POOLED, Rig, stamp};
use firstlight::backend::proxmox::client::endpoint::guest::Kind as GuestKind;

fn found(job: &str, guest: &str, running: bool) -> Surveyed {
    let id = match guest {
        "web-01" => "101",
        "web-02" => "102",
        "web-05" => "105",
        "far" => "900",
        _ => "2000",
    };
    Surveyed { job: Some(job.to_owned()), guest: guest.to_owned(), id: Some(id.to_owned()), running }
}

/// Ours are 101 on the first node and 102 on the second; the others are somebody else's.
fn mixed(world: &mut World) {
    let (first, second) = (stamp("job-1"), stamp("job-2"));
    world.put_guest(101, Kind::Lxc, "pve1", &[("hostname", "web-01"), ("description", &first)]);
    world.put_guest(102, Kind::Qemu, "pve2", &[("name", "web-02"), ("description", &second)]);
    world.put_guest(
        103,
        Kind::Lxc,
        "pve1",
        &[("hostname", "other"), ("description", "see firstlight-job: 7")],
    );
    world.put_guest(
        104,
        Kind::Lxc,
        "pve2",
        &[("hostname", "tpl"), ("description", &first), ("template", "1")],
    );
    world.put_guest(105, Kind::Lxc, "pve1", &[("lock", "create")]);
}

#[tokio::test]
async fn a_survey_finds_what_is_ours_and_reads_each_configuration_once() {
    let rig = Rig::new(2, mixed);
    let both = [found("job-1", "web-01", false), found("job-2", "web-02", false)];
    assert_eq!(rig.backend.survey().await.unwrap(), both);
    assert_eq!(rig.asked(0, "/config"), 4, "not the template's");
    let mark = rig.mark();
    assert_eq!(rig.backend.survey().await.unwrap(), both);
    assert_eq!((rig.asked(mark, "/config"), rig.mark() - mark), (0, 4), "two lists of each node");
    // It starts, another one is finished and turns out to be ours.
    rig.start("pve1", GuestKind::Lxc, 101).await;
    rig.sim.with_world(|world| {
        let guest = world.guests.get_mut(&105).unwrap();
        guest.config.remove("lock");
        guest.set("hostname", "web-05");
        guest.set("description", stamp("job-5"));
    });
    let mark = rig.mark();
    let three = [found("job-1", "web-01", true), both[1].clone(), found("job-5", "web-05", false)];
    assert_eq!(rig.backend.survey().await.unwrap(), three);
    assert_eq!(rig.asked(mark, "/config"), 1);
    rig.sim.with_world(|world| world.guests.remove(&102));
    assert_eq!(rig.backend.survey().await.unwrap(), [three[0].clone(), three[2].clone()]);
}

#[tokio::test]
async fn only_our_numbers_and_our_tags_are_looked_into() {
    let defaults = Defaults { vmids: 102..=199, ..Defaults::default() };
    let rig = Rig::with(2, TOKEN, defaults, |world| {
        mixed(world);
        let tagged = [("hostname", "far"), ("tags", "db;firstlight"), ("description", &*stamp("job-9"))];
        world.put_guest(900, Kind::Lxc, "pve1", &tagged);
    });
    let ours = [found("job-2", "web-02", false), found("job-9", "far", false)];
    assert_eq!(rig.backend.survey().await.unwrap(), ours);
    assert_eq!(rig.asked(0, "/101/config"), 0);
}

#[tokio::test]
async fn what_a_token_does_not_see_is_not_ours() {
    let rig = Rig::with(2, POOLED, Defaults::default(), |world| {
        mixed(world);
        world.pools.get_mut("lab").unwrap().insert(102);
        // Visible, and with variables that this token may not read.
        world.access.role("Audit", &["VM.Audit"]);
        world.access.grant_both("/vms/101", POOLED, "Audit");
        world.guests.get_mut(&101).unwrap().set("env", "A=1");
    });
    assert_eq!(rig.backend.survey().await.unwrap(), [found("job-2", "web-02", false)]);
    let mark = rig.mark();
    assert_eq!(rig.backend.survey().await.unwrap().len(), 1);
    assert_eq!(rig.asked(mark, "/config"), 0, "a refusal is remembered, too");
}

#[tokio::test]
async fn a_node_that_goes_away_does_not_make_its_guests_stop() {
    let rig = Rig::new(2, mixed);
    rig.start("pve2", GuestKind::Qemu, 102).await;
    let both = [found("job-1", "web-01", false), found("job-2", "web-02", true)];
    assert_eq!(rig.backend.survey().await.unwrap(), both);
    rig.sim.with_world(|world| world.nodes.get_mut("pve2").unwrap().online = false);
    assert!(rig.backend.survey().await.is_err(), "half a survey is none");
    assert_eq!(rig.backend.survey().await.unwrap(), both, "as they were last seen");
    rig.sim.with_world(|world| {
        world.nodes.get_mut("pve2").unwrap().online = true;
        world.guests.remove(&102);
    });
    // The list of nodes is remembered for a minute at most.
    assert_eq!(rig.backend.survey().await.unwrap(), both);
}

#[tokio::test]
async fn one_broken_configuration_hides_nobody_and_silence_is_an_error() {
    let rig = Rig::new(2, mixed);
    let broken =
        Rule::once(Method::Get, "/nodes/pve1/lxc/103/config", Fault::Fails("unable to parse".into()));
    rig.sim.fault(broken);
    assert_eq!(rig.backend.survey().await.unwrap().len(), 2);
    let mark = rig.mark();
    assert_eq!(rig.backend.survey().await.unwrap().len(), 2);
    assert_eq!(rig.asked(mark, "/103/config"), 1, "it is asked again");
    rig.sim.fault(Rule::once(Method::Get, "/nodes/pve1/lxc", Fault::Unreachable));
    assert!(rig.backend.survey().await.is_err());
    assert_eq!(rig.backend.survey().await.unwrap().len(), 2);
}

#[tokio::test]
async fn more_guests_than_can_be_read_at_once_take_several_surveys_and_none_is_half() {
    let rig = Rig::new(1, |world| {
        for id in 1000..1450 {
            world.put_guest(id, Kind::Lxc, "pve1", &[("hostname", "other")]);
        }
        world.put_guest(2000, Kind::Lxc, "pve1", &[("hostname", "web"), ("description", &*stamp("job-1"))]);
    });
    assert_eq!(rig.backend.survey().await.unwrap_err().code, "survey-unfinished");
    assert_eq!(rig.backend.survey().await.unwrap(), [found("job-1", "web", false)]);
    assert_eq!(rig.asked(0, "/config"), 451);
}
