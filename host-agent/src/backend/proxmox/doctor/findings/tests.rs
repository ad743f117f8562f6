use super::*;
use crate::backend::proxmox::client::call::Method;
use crate::backend::proxmox::doctor::facts::NodeFacts;
use crate::backend::proxmox::doctor::needs::{asks, needs};
use crate::backend::proxmox::settings::Defaults;

fn one<T: serde::de::DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap()
}

/// All is well: one node, and a token with everything.
fn facts(version: &str) -> Facts {
    let asks = asks(None, &Defaults { storage: Some("thin".into()), ..Defaults::default() });
    let needs = needs(&asks, &["pve1".to_owned()], Some((9, 2)));
    let everything: BTreeSet<String> =
        needs.iter().flat_map(|need| &need.any).map(|one| (*one).to_owned()).collect();
    let paths = needs.iter().flat_map(|need| need.area.paths().into_iter().chain([need.area.grant()]));
    let version: Version = serde_json::from_value(serde_json::json!({ "version": version })).unwrap();
    Facts {
        token: "a@pve!t1".into(),
        pin: Pin::Keys(Vec::new()),
        doors: vec![("pve1:8006".into(), Ok(version.clone()))],
        cluster: Some(ClusterFacts {
            version,
            nodes: Ok(vec![one(r#"{"node":"pve1","status":"online"}"#)]),
            asks,
            goldens: BTreeMap::new(),
            permissions: paths.map(|path| (path, Ok(everything.clone()))).collect(),
            needs,
            places: vec![NodeFacts {
                name: "pve1".into(),
                ahead_s: Ok(0),
                bridges: Ok(vec![one(r#"{"iface":"vmbr0"}"#)]),
                storages: Ok(vec![one(
                    r#"{"storage":"thin","type":"lvmthin","content":"rootdir,images","active":1,"enabled":1}"#,
                )]),
            }],
            preflights: Vec::new(),
        }),
    }
}

fn error(class: Class) -> ApiError {
    ApiError {
        method: Method::Get,
        path: "/x".into(),
        class,
        status: None,
        text: "words".into(),
        parameters: BTreeMap::new(),
    }
}

fn state(findings: &Findings, what: &str) -> State {
    let of_this = findings.findings.iter().filter(|finding| finding.what.contains(what));
    of_this.map(|finding| finding.state).max().unwrap_or_else(|| panic!("no {what} in {findings:#?}"))
}

/// What is changed about facts that are well.
type Change = fn(&mut ClusterFacts);

#[test]
fn every_fact_has_its_state() {
    let table: &[(Change, &str, State)] = &[
        (|_| {}, "rights on /vms", State::Ok),
        (|_| {}, "storage thin", State::Ok),
        (|facts| facts.nodes = Err(error(Class::MaybeApplied)), "nodes", State::Unknown),
        (|facts| facts.places.clear(), "places", State::Unknown),
        (|facts| facts.places[0].ahead_s = Ok(4), "clock", State::Ok),
        (|facts| facts.places[0].ahead_s = Ok(-5), "clock", State::Warn),
        (|facts| facts.places[0].ahead_s = Ok(i64::MIN), "clock", State::Warn),
        (|facts| facts.places[0].ahead_s = Err(error(Class::MaybeApplied)), "clock", State::Unknown),
        (
            |facts| facts.places[0].ahead_s = Err(error(Class::Denied { path: None, privileges: vec![] })),
            "clock",
            State::Warn,
        ),
        (|facts| facts.places[0].bridges = Err(error(Class::MaybeApplied)), "bridge", State::Unknown),
        (|facts| facts.places[0].bridges = Ok(vec![]), "bridge", State::Fail),
        (|facts| facts.places[0].storages = Err(error(Class::MaybeApplied)), "storage thin", State::Unknown),
        (|facts| facts.places[0].storages = Ok(vec![]), "storage thin", State::Fail),
        (|facts| facts.places[0].storages.as_mut().unwrap()[0].active = false, "storage thin", State::Fail),
        (
            |facts| facts.places[0].storages.as_mut().unwrap()[0].content = vec!["backup".into()],
            "storage thin",
            State::Fail,
        ),
        (
            |facts| {
                facts.permissions.values_mut().for_each(|path| *path = Err(error(Class::MaybeApplied)));
            },
            "rights on /vms",
            State::Unknown,
        ),
        (
            |facts| facts.permissions.values_mut().for_each(|path| *path = Ok(BTreeSet::new())),
            "rights on /vms",
            State::Fail,
        ),
        // Not known is not granted.
        (|facts| facts.permissions.clear(), "rights on /storage/thin", State::Fail),
        (
            |facts| facts.preflights = vec![("a".into(), Err(crate::outcome::Fault::new("no-room", "x")))],
            "preflight of a",
            State::Fail,
        ),
        (
            |facts| {
                let fault = crate::outcome::Fault::new("proxmox-no-answer", "x");
                facts.preflights = vec![("a".into(), Err(fault))];
            },
            "preflight of a",
            State::Unknown,
        ),
    ];
    for (number, (change, what, expected)) in table.iter().enumerate() {
        let mut facts = facts("9.2.11");
        change(facts.cluster.as_mut().unwrap());
        let found = judge(&facts);
        assert_eq!(state(&found, what), *expected, "row {number}: {found:#?}");
        assert_eq!(found.are_well(), *expected <= State::Warn, "row {number}: {found:#?}");
    }
}

#[test]
fn each_release_can_what_it_can() {
    for (version, claims, beacons) in [
        ("9.2.11", State::Ok, State::Ok),
        ("9.1.0~rc1", State::Ok, State::Ok),
        ("9.0.3", State::Warn, State::Ok),
        ("8.4-1", State::Warn, State::Ok),
        ("8.3.1", State::Warn, State::Warn),
        ("7.4", State::Warn, State::Warn),
    ] {
        let found = judge(&facts(version));
        assert_eq!((state(&found, "claims"), state(&found, "beacons")), (claims, beacons), "{version}");
    }
    assert_eq!(state(&judge(&facts("soon")), "version"), State::Unknown);
}

#[test]
fn who_answers_is_judged_first() {
    let closed = |class: Class, another: bool| {
        let mut facts = facts("9.2.11");
        facts.doors.insert(0, ("a:1".into(), Err(error(class))));
        if !another {
            facts.doors.truncate(1);
            facts.cluster = None;
        }
        let found = judge(&facts);
        (state(&found, "a:1"), found.are_well())
    };
    let (away, stranger) =
        (Class::NeverSent(Unsent::Unreachable), Class::NeverSent(Unsent::WrongCertificate));
    let refused = Class::Rejected { code: Code::Unauthenticated, kept: false };
    for (class, another, expected) in [
        (away.clone(), true, (State::Warn, true)),
        (away, false, (State::Fail, false)),
        (stranger.clone(), true, (State::Fail, false)),
        (stranger, false, (State::Fail, false)),
        (refused, false, (State::Fail, false)),
    ] {
        assert_eq!(closed(class.clone(), another), expected, "{class:?} {another}");
    }
    let nothing = Facts { doors: Vec::new(), cluster: None, ..facts("9.2") };
    assert!(!judge(&nothing).are_well() && !Findings::default().are_well());
}
