//! The server is killed and started again while it works for us. Guests live on, and jobs go on.

use std::time::Duration;

use firstlight_tests::demo::shared_identities;
use firstlight_tests::rig::incus::{GOLDEN, IncusServer};
use firstlight_tests::{paths, wait};

use super::site::Site;

const MORE: &str = "[guest.readiness]\ntimeout = \"120s\"\n";

const FINAL: [&str; 3] = ["done", "rolled-back", "needs-operator"];

/// Kills the server as soon as the guest's job is in this step, and starts it again.
fn kill_in(site: &Site<'_>, guest: &str, step: &str) {
    let met = wait::until(&format!("step {step}"), Duration::from_secs(120), || {
        let (state, at) = site.at(guest);
        (at == step || FINAL.contains(&state.as_str())).then_some(at)
    });
    assert_eq!(met.unwrap(), step, "the step was missed: {:?}", site.at(guest));
    site.server.kill().unwrap();
    site.server.start_again().unwrap();
}

#[test]
fn a_server_that_is_killed_costs_no_guest() {
    let server = IncusServer::for_tests();
    let site = Site::on(&server, "outages", &[]);
    for step in ["restore", "start", "await-report"] {
        let guest = format!("in-{step}");
        let ran = site.run(&["up", &site.spec(&guest, GOLDEN, MORE), "--detach"]);
        assert!(ran.ok(), "{}", ran.said());
        kill_in(&site, &guest, step);
        let state = site.await_state(&guest, &FINAL);
        assert_eq!(state, "done", "{:#}\n{}", site.json(&["show", &guest, "--json"]), site.said());
        let shown = site.json(&["show", &guest, "--json"]);
        assert_eq!(shown["job"]["trust"], "attested", "{shown:#}");
        site.destroy(&[&guest]);
        site.assert_clean();
    }

    // Ready is forgotten by the server, and by nobody else.
    site.up("stays", GOLDEN, MORE);
    server.kill().unwrap();
    server.start_again().unwrap();
    assert_eq!(site.at("stays").0, "done");
    let again = site.run(&["up", &site.spec("stays", GOLDEN, MORE)]);
    assert!(again.ok(), "{}", again.said());
    site.destroy(&["stays"]);
    site.end();
}

/// Twenty at once, and the server is killed when some of them are there and others are not.
#[test]
fn a_server_that_is_killed_under_many_costs_none_of_them() {
    if !paths::full() {
        return;
    }
    let server = IncusServer::for_tests();
    let site = Site::on(&server, "many", &[]);
    let spec = site.spec("many-{n}", GOLDEN, "count = 20\n[guest.readiness]\ntimeout = \"400s\"\n");
    let names: Vec<String> = (1..=20).map(|number| format!("many-{number:02}")).collect();
    let ran = site.run(&["up", &spec, "--detach"]);
    assert!(ran.ok(), "{}", ran.said());
    let made = || {
        let listed = server.get(&format!("/1.0/instances?project={}", site.project)).unwrap();
        listed.as_array().is_some_and(|listed| listed.len() >= 8).then_some(())
    };
    wait::until("eight of twenty", Duration::from_secs(300), made).unwrap();
    let done = names.iter().filter(|name| site.at(name).0 == "done").count();
    assert!(done < names.len(), "all of them were there already");
    server.kill().unwrap();
    server.start_again().unwrap();
    for name in &names {
        let state = site.await_state_in(name, &FINAL, Duration::from_secs(400));
        assert_eq!(state, "done", "{:#}\n{}", site.json(&["show", name, "--json"]), site.said());
    }
    // Once more: all is there as it is wanted, and each is proved and another.
    let document = site.up_of(&spec);
    assert_eq!(document["guests"].as_array().map(Vec::len), Some(20));
    assert_eq!(shared_identities(&document), Vec::<String>::new());
    site.destroy(&names.iter().map(String::as_str).collect::<Vec<_>>());
    site.end();
}

/// Every moment of a bring-up, in steps of a quarter of a second.
#[test]
fn a_server_may_be_killed_at_any_time() {
    if !paths::full() {
        return;
    }
    let server = IncusServer::for_tests();
    let site = Site::on(&server, "any-time", &[]);
    for round in 0..16 {
        let guest = format!("at-{round}");
        let ran = site.run(&["up", &site.spec(&guest, GOLDEN, MORE), "--detach"]);
        assert!(ran.ok(), "{}", ran.said());
        std::thread::sleep(Duration::from_millis(250) * round);
        server.kill().unwrap();
        server.start_again().unwrap();
        let state = site.await_state(&guest, &FINAL);
        assert_eq!(state, "done", "{:#}\n{}", site.json(&["show", &guest, "--json"]), site.said());
        site.destroy(&[&guest]);
        site.assert_clean();
    }
    site.end();
}
