//! The simulator over its wire: bytes, connections, and faults.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use firstlight_tests::simpve::call::Method;
use firstlight_tests::simpve::example::{self, SECRET};
use firstlight_tests::simpve::faults::{Fault, Rule};
use firstlight_tests::simpve::guest::Kind;
use firstlight_tests::simpve::profile::Profile;
use firstlight_tests::simpve::wire::{Pace, SimPve};

use crate::client::{Client, ask, request, restore};

fn explicit() -> SimPve {
    SimPve::on_loopback(example::cluster(2, Profile::measured(), 1, 1_795_259_766), Pace::Explicit).unwrap()
}

#[test]
fn status_lines_and_bodies_are_those_of_the_real_daemon() {
    let sim = explicit();
    let table = [
        ("GET", "/version", "", "HTTP/1.1 200 OK"),
        ("GET", "/nosuch", "", "HTTP/1.1 501 Method 'GET /nosuch' not implemented"),
        ("GET", "/api2/", "", "HTTP/1.1 501 no such uri"),
        ("DELETE", "/nodes/pve1/lxc/104", "force=1", "HTTP/1.1 501 Unexpected content for method 'DELETE'"),
        (
            "GET",
            "/nodes/pve1/lxc/101/config",
            "",
            "HTTP/1.1 500 Configuration file 'nodes/pve1/lxc/101.conf' does not exist",
        ),
        ("POST", "/nodes/pve1/lxc", "restore=1", "HTTP/1.1 400 Parameter verification failed."),
        (
            "GET",
            "/nodes/nosuch/lxc",
            "",
            "HTTP/1.1 500 hostname lookup 'nosuch' failed - failed to get address info for: nosuch: Name or service not known",
        ),
    ];
    for (method, path, body, line) in table {
        assert_eq!(ask(&sim, method, path, body).unwrap().line, line);
    }
    let missing = ask(&sim, "GET", "/nodes/pve1/lxc/101/config", "").unwrap();
    let words = "Configuration file 'nodes/pve1/lxc/101.conf' does not exist\\n";
    assert_eq!(missing.body, format!("{{\"data\":null,\"message\":\"{words}\"}}"));
    let extjs = ask(&sim, "GET", "/api2/extjs/nodes/pve1/lxc/999/config", "").unwrap();
    assert!(extjs.line.ends_with("200 OK") && extjs.body.contains("\"success\":0"), "{extjs:?}");
}

#[test]
fn refused_tokens_get_neither_body_nor_length_and_the_connection_ends() {
    let sim = explicit();
    let good = request("GET", "/version", "");
    let none = good.replace(&format!("Authorization: PVEAPIToken={}={SECRET}\r\n", example::TOKEN), "");
    let wrong = good.replace(SECRET, "00000000-0000-0000-0000-000000000000");
    let encoded = good.replace('!', "%21");
    for (request, line) in [
        (&none, "HTTP/1.1 401 No ticket"),
        (&wrong, "HTTP/1.1 401 Authentication failed!"),
        (&encoded, "HTTP/1.1 200 OK"),
    ] {
        let came = Client::new(&sim, "pve1").send(request).unwrap();
        assert_eq!(came.line, line);
        assert_eq!(came.head.contains("Content-Length"), line.contains("200"), "{came:?}");
    }
    let told = format!("{:?}", sim.requests());
    assert!(!told.contains(SECRET) && told.contains(example::TOKEN), "{told}");
}

#[test]
fn connections_live_as_long_as_the_real_ones() {
    let sim = explicit();
    let mut client = Client::new(&sim, "pve1");
    let direct = client.send(&request("GET", "/version", "")).unwrap();
    assert_eq!(direct.head.matches("Connection: ").count(), 1);
    let relayed = client.send(&request("GET", "/nodes/pve1/lxc", "")).unwrap();
    assert!(relayed.head.contains("Connection: close\r\nConnection: Keep-Alive"), "{}", relayed.head);
    for _ in 3..100 {
        assert!(client.send(&request("GET", "/version", "")).unwrap().head.contains("Keep-Alive"));
    }
    let last = client.send(&request("GET", "/version", "")).unwrap();
    assert!(last.head.contains("Connection: close") && client.rest() == 0, "the hundredth is the last");
    assert_eq!(sim.requests().iter().map(|one| one.connection).collect::<Vec<_>>(), [0; 100]);

    let mut idle = Client::new(&sim, "pve1");
    idle.send(&request("GET", "/version", "")).unwrap();
    let since = Instant::now();
    idle.rest();
    let lived = since.elapsed();
    assert!(lived > Duration::from_millis(4500) && lived < Duration::from_secs(18), "{lived:?}");
}

#[test]
fn it_starts_inside_a_runtime_too() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let sim = runtime.block_on(async { explicit() });
    assert_eq!(ask(&sim, "GET", "/version", "").unwrap().line, "HTTP/1.1 200 OK");
    runtime.block_on(async { drop(sim) });
}

#[test]
fn plain_http_is_sent_to_https() {
    let sim = explicit();
    let mut stream = TcpStream::connect(sim.addresses()["pve1"]).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 301 "), "{answer}");
}

#[test]
fn faults_do_what_they_say_and_no_more() {
    let path = "/nodes/pve1/lxc";
    let table = [
        (Fault::CutBefore, None, false),
        (Fault::CutAfter, None, true),
        (Fault::Fails("storage is on fire".into()), Some("HTTP/1.1 500 storage is on fire"), false),
        (Fault::Unreachable, Some("HTTP/1.1 595 Connection refused"), false),
        (Fault::TimedOut { applied: false }, Some("HTTP/1.1 596 Connection timed out"), false),
        (Fault::Unauthorized, Some("HTTP/1.1 401 Authentication failed!"), false),
        (Fault::Delay(Duration::from_secs(1)), Some("HTTP/1.1 200 OK"), true),
        (
            Fault::LosesRace,
            Some("HTTP/1.1 500 unable to restore CT 100 - CT 100 already exists on node 'pve1'"),
            true,
        ),
    ];
    for (fault, line, taken) in table {
        let sim = explicit();
        sim.fault(Rule::once(Method::Post, path, fault.clone()));
        let came = ask(&sim, "POST", path, &restore(100));
        assert_eq!(came.map(|came| came.line).as_deref(), line, "{fault:?}");
        assert_eq!(sim.with_world(|world| world.guests.contains_key(&100)), taken, "{fault:?}");
        assert_eq!(sim.requests()[0].fault, Some(fault));
        assert_eq!(ask(&sim, "GET", "/version", "").unwrap().line, "HTTP/1.1 200 OK");
    }
}

#[test]
fn what_was_given_up_on_is_done_late() {
    for (fault, after) in [(Fault::TimedOut { applied: true }, 30), (Fault::Late(Duration::from_secs(5)), 5)]
    {
        let sim = explicit();
        sim.fault(Rule::once(Method::Post, "/nodes/*/lxc", fault));
        ask(&sim, "POST", "/nodes/pve1/lxc", &restore(100));
        let there = || sim.with_world(|world| world.guests.contains_key(&100));
        sim.advance(Duration::from_secs(after - 1));
        assert!(!there());
        sim.advance(Duration::from_secs(1));
        assert!(there());
    }
}

#[test]
fn tasks_fail_or_are_lost_on_demand() {
    let table = [
        (Fault::TaskFails("no space".into()), "unable to restore CT 100 - no space", false),
        (Fault::TaskLost, "unexpected status", true),
    ];
    for (fault, exit, left) in table {
        let sim = explicit();
        sim.fault(Rule::once(Method::Post, "/nodes/*/lxc", fault));
        let upid = ask(&sim, "POST", "/nodes/pve1/lxc", &restore(100)).unwrap().text();
        assert_eq!(sim.finish_task(&upid).as_deref(), Some(exit));
        let (locked, volumes) = sim.with_world(|world| {
            let lock = world.guests.get(&100).and_then(|guest| guest.get("lock")).map(str::to_owned);
            (lock.as_deref() == Some("create"), world.volumes.len())
        });
        assert_eq!((locked, volumes == 1), (left, left));
    }
}

#[test]
fn a_strange_certificate_is_shown_once() {
    let sim = explicit();
    sim.with_faults(|faults| faults.show_strange_certificate("pve1", 1));
    assert!(ask(&sim, "GET", "/version", "").is_none());
    assert_eq!(ask(&sim, "GET", "/version", "").unwrap().line, "HTTP/1.1 200 OK");
    assert_eq!(sim.requests().len(), 1);
}

#[test]
fn a_renewed_certificate_has_the_same_key_and_another_fingerprint() {
    let sim = explicit();
    let shown = || {
        let info = ask(&sim, "GET", "/nodes/pve1/certificates/info", "").unwrap().data();
        info[1]["fingerprint"].as_str().unwrap().to_owned()
    };
    let (fingerprint, key) = (shown(), Client::new(&sim, "pve1").key());
    sim.renew_certificate("pve1").unwrap();
    assert_ne!(shown(), fingerprint);
    assert_eq!(Client::new(&sim, "pve1").key(), key);
    assert_eq!(sim.key_pin("pve1"), Some(key.as_str()));
}

#[test]
fn calls_that_wait_for_a_lock_keep_the_few_workers_from_others() {
    let world = example::cluster(1, Profile::measured().scaled(0.1), 1, 1_795_259_766);
    let sim = SimPve::on_loopback(world, Pace::Auto).unwrap();
    sim.with_world(|world| {
        world.put_guest(100, Kind::Lxc, "pve1", &[]);
        world.held.insert(100);
    });
    std::thread::scope(|scope| {
        let put = || ask(&sim, "PUT", "/nodes/pve1/lxc/100/config", "hostname=x").unwrap().line;
        let puts = [(); 3].map(|()| scope.spawn(put));
        let took = |path: &str| {
            let since = Instant::now();
            ask(&sim, "GET", path, "").unwrap();
            since.elapsed()
        };
        let starved =
            || puts.iter().all(|put| !put.is_finished()) && took("/nodes/pve1/lxc").as_millis() > 300;
        while !starved() {
            assert!(puts.iter().any(|put| !put.is_finished()), "nobody had to wait");
            assert!(took("/nodes/pve1/lxc/100/config").as_millis() < 300, "the proxy answers this by itself");
        }
        let words = "HTTP/1.1 500 can't lock file '/run/lock/lxc/pve-config-100.lock' - got timeout";
        for put in puts {
            assert_eq!(put.join().unwrap(), words);
        }
    });
}

#[test]
fn every_node_answers_for_the_others_until_one_is_gone() {
    let sim = explicit();
    let mut second = Client::new(&sim, "pve2");
    assert_eq!(second.send(&request("GET", "/nodes/pve1/lxc", "")).unwrap().body, "{\"data\":[]}");
    sim.with_world(|world| world.nodes.get_mut("pve1").unwrap().online = false);
    let gone = second.send(&request("GET", "/nodes/pve1/lxc", "")).unwrap();
    assert_eq!(gone.line, "HTTP/1.1 595 No route to host");
}

#[test]
fn a_put_waits_for_the_lock_until_the_test_lets_time_pass() {
    let sim = explicit();
    let upid = ask(&sim, "POST", "/nodes/pve1/lxc", &restore(100)).unwrap().text();
    std::thread::scope(|scope| {
        let put = scope.spawn(|| ask(&sim, "PUT", "/nodes/pve1/lxc/100/config", "hostname=x").unwrap().line);
        while sim.requests().is_empty() || !put.is_finished() {
            sim.advance(Duration::from_millis(100));
            std::thread::yield_now();
        }
        assert_eq!(put.join().unwrap(), "HTTP/1.1 200 OK");
    });
    assert_eq!(sim.finish_task(&upid).as_deref(), Some("OK"));
    let config = ask(&sim, "GET", "/nodes/pve1/lxc/100/config", "").unwrap().data();
    assert_eq!(config["hostname"], "x");
}

#[test]
fn the_clock_drives_it_at_the_profiles_pace() {
    let profile = Profile::measured().scaled(0.05);
    let world = example::cluster(1, profile, 1, 1_795_259_766);
    let sim = SimPve::on_loopback(world, Pace::Auto).unwrap();
    let before = sim.inventory();
    let upid = ask(&sim, "POST", "/nodes/pve1/lxc", &restore(100)).unwrap().text();
    let finish = |upid: &str| {
        let path = format!("/nodes/pve1/tasks/{upid}/status");
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let status = ask(&sim, "GET", &path, "").unwrap().data();
            if status["status"] == "stopped" {
                return status["exitstatus"].as_str().unwrap().to_owned();
            }
            assert!(Instant::now() < deadline, "the task does not end");
        }
    };
    assert_eq!(finish(&upid), "OK");
    let delete = "/nodes/pve1/lxc/100?purge=1&destroy-unreferenced-disks=1";
    let upid = ask(&sim, "DELETE", delete, "").unwrap().text();
    assert_eq!(finish(&upid), "OK");
    assert_eq!(sim.inventory(), before, "a clean slate");
}
