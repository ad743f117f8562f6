//! Copies of a guest that lives: as a new guest, as the same guest again, and booted by hand behind everybody's back. Each row of
//! docs/lifecycle.md, "Clones, restores and copies", as a user meets it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use firstlight_tests::golden::{Layer, Variant};
use firstlight_tests::guest::bare::{Booted, Root};
use firstlight_tests::guest::{Boot, Leader};
use firstlight_tests::rig::Rig;
use firstlight_tests::{run, wait};
use serde_json::{Value, json};

use crate::support::archive;
use crate::whole::{served_key, status};

const NAME: &str = "alive";
const READY: &str = "[guest.readiness]\ntimeout = \"120s\"\n";
const OTHER_MAC: &str = "02:00:5e:00:00:02";
/// What services of a guest that lives write down, and a new guest must not have.
const LEFT: [&str; 7] = [
    "var/lib/dhcp/dhclient.eth0.leases",
    "var/lib/dhcpcd/duid",
    "var/lib/dhcpcd/eth0.lease",
    "var/lib/NetworkManager/secret_key",
    "var/lib/NetworkManager/internal-0-eth0.lease",
    "var/lib/docker/engine-id",
    "var/lib/mysql/auto.cnf",
];

/// A guest of the companion's that has lived, and an archive of its root, taken while it ran.
struct Live {
    rig: Rig,
    archive: PathBuf,
    guest: Value,
    before: Traits,
}

/// What makes a root the guest that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Traits {
    machine_id: String,
    /// Private and public halves.
    keys: BTreeMap<String, Vec<u8>>,
    claim: Value,
    left: Vec<&'static str>,
}

fn traits(root: &Path) -> Traits {
    let folder = fs::read_dir(root.join("etc/ssh")).unwrap().flatten();
    let keys = folder.filter(|entry| entry.file_name().to_string_lossy().starts_with("ssh_host_"));
    let stamp = fs::read(root.join("var/lib/firstlight/stamp.json")).unwrap();
    let stamp: Value = serde_json::from_slice(&stamp).unwrap();
    Traits {
        machine_id: fs::read_to_string(root.join("etc/machine-id")).unwrap(),
        keys: keys
            .map(|entry| (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).unwrap()))
            .collect(),
        claim: stamp["claim_id"].clone(),
        left: LEFT.into_iter().filter(|path| root.join(path).exists()).collect(),
    }
}

/// Waits until all keys are made, RSA too.
fn whole(guest: Leader) {
    wait::until("a stamp with nothing pending", Duration::from_secs(90), || {
        (status(guest)["stamp"]["pending"] == json!([])).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}; {:#}", status(guest)));
}

fn decision(guest: Leader) -> String {
    status(guest)["identity"]["identity"]["decision"].as_str().unwrap_or_default().to_owned()
}

fn live() -> Live {
    let rig = Rig::serving();
    let golden = rig.path("golden.tar");
    fs::copy(archive(Variant::Baked), &golden).unwrap();
    // Where a copy that nobody hands a claim reports, too.
    let host =
        format!("[host]\nurl = \"{}\"\npin = \"{}\"\n", rig.reports(), rig.run(&["pin"]).stdout.trim());
    let mut layer = Layer::default();
    layer.file("etc/firstlight/guest.toml", 0o644, host);
    layer.append_to(&golden).unwrap();
    let guest = rig.up(&rig.spec_of(NAME, &golden, READY))[0].clone();
    whole(rig.leader(NAME));
    let root = rig.guest_root(NAME);
    for path in LEFT {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "of the guest that lives\n").unwrap();
    }
    let before = traits(&root);
    assert_eq!((before.keys.len(), before.left.len()), (6, LEFT.len()), "{before:?}");
    let archive = rig.path("live.tar");
    let mut tar = run::command(["tar", "--create", "--numeric-owner", "--warning=no-file-changed", "--file"]);
    let taken = run::run(tar.arg(&archive).arg("--directory").arg(&root).arg(".")).unwrap();
    // 1: a file changed meanwhile, as the journal does.
    assert!(taken.code <= 1, "{}", taken.said());
    Live { rig, archive, guest, before }
}

fn open_duplicates(rig: &Rig) -> Vec<Value> {
    let all = rig.json(&["duplicates", "--json"]);
    all["duplicates"].as_array().unwrap().iter().filter(|one| one["open"] == true).cloned().collect()
}

#[test]
fn a_golden_that_is_a_copy_of_a_live_guest_makes_a_new_one() {
    let Live { rig, archive, guest, before } = live();
    let copy = rig.up(&rig.spec_of("copy", &archive, READY))[0].clone();
    assert_eq!((&copy["state"], &copy["trust"]), (&"done".into(), &"attested".into()), "{copy:#}");
    assert_eq!(copy["hostname"], "copy");
    assert_ne!((&copy["mac"], &copy["machine_id"]), (&guest["mac"], &guest["machine_id"]));
    let leader = rig.leader("copy");
    assert_eq!(decision(leader), "renew", "{:#}", status(leader));
    whole(leader);
    let now = traits(&rig.guest_root("copy"));
    assert_ne!(now.machine_id, before.machine_id);
    assert_eq!(now.keys.keys().collect::<Vec<_>>(), before.keys.keys().collect::<Vec<_>>());
    for (name, key) in &now.keys {
        assert_ne!(Some(key), before.keys.get(name), "{name} is the live guest's");
    }
    assert!(now.claim.is_string() && now.claim != before.claim, "{now:?}");
    assert_eq!(now.left, [""; 0], "{:#}", status(leader)["identity"]["identity"]);
    // The other one is as it was, and nobody shares anything.
    assert_eq!(traits(&rig.guest_root(NAME)), before);
    assert_ne!(served_key(leader), served_key(rig.leader(NAME)));
    assert_eq!(open_duplicates(&rig), Vec::<Value>::new());
    assert!(rig.run(&["verify", NAME]).ok());
}

#[test]
fn a_guest_that_comes_back_from_a_copy_of_itself_is_kept() {
    let Live { rig, archive, guest, before } = live();
    let destroyed = rig.run(&["destroy", NAME]);
    assert!(destroyed.ok(), "{}", destroyed.said());
    let back = rig.up(&rig.spec_of(NAME, &archive, &format!("intent = \"restore\"\n{READY}")))[0].clone();
    assert_eq!((&back["state"], &back["trust"]), (&"done".into(), &"attested".into()), "{back:#}");
    assert_eq!(back["machine_id"], guest["machine_id"]);
    let leader = rig.leader(NAME);
    assert_eq!(decision(leader), "restamp", "{:#}", status(leader));
    let now = traits(&rig.guest_root(NAME));
    assert_eq!((&now.machine_id, &now.keys, &now.left), (&before.machine_id, &before.keys, &before.left));
    assert_ne!(now.claim, before.claim, "this restore is done, and says nothing of a later copy");
    assert_eq!(open_duplicates(&rig), Vec::<Value>::new());
}

/// Boots a copy on the guests' network, without a word from any hypervisor, and gives the companion's answer to it.
fn by_hand(live: &Live, mac: &str, address: &str) -> (Booted, Root, Value) {
    let root = Root::unpack(&live.archive).unwrap();
    let booted = root.boot_as(&Boot::named(NAME).mac(mac).plugged(live.rig.plug(address))).unwrap();
    let from = |refused: &Value| refused["source"] == address;
    let refused = wait::until("the copy's report", Duration::from_secs(120), || {
        live.rig.refusals().into_iter().find(from)
    });
    let refused =
        refused.unwrap_or_else(|error| panic!("{error}\n{}\n{}", booted.console(), live.rig.diagnosis()));
    (booted, root, refused)
}

#[test]
fn a_copy_of_a_live_guest_without_any_word_about_it_is_suspected() {
    let live = live();
    let own_mac = live.guest["mac"].as_str().unwrap().to_owned();
    for (mac, address, decided, said) in [
        // The guest itself sees that its card is another one.
        (OTHER_MAC, "10.77.0.251", "suspect-clone", "a card of its own"),
        // It sees nothing, and the companion does.
        (&own_mac, "10.77.0.252", "keep", "addresses of its own"),
    ] {
        let (booted, root, refused) = by_hand(&live, mac, address);
        assert_eq!(
            (&refused["code"], &refused["guest"]),
            (&"copied-guest".into(), &NAME.into()),
            "{refused:#}"
        );
        assert!(refused["message"].as_str().unwrap().contains(said), "{refused:#}");
        let guest = booted.leader().unwrap();
        assert_eq!(decision(guest), decided, "{:#}", status(guest));
        let told = &status(guest)["report"]["identity"];
        assert_eq!(told["decision"], decided, "{told:#}");
        let suspects = told["problems"].to_string().contains("maybe a clone");
        assert_eq!(suspects, decided == "suspect-clone", "{told:#}");
        let kept = traits(&root.path());
        assert_eq!((&kept.machine_id, &kept.keys), (&live.before.machine_id, &live.before.keys));

        let shared = open_duplicates(&live.rig);
        assert_eq!(shared.len(), 1, "{shared:#?}");
        assert_eq!((&shared[0]["kind"], &shared[0]["value"]), (&"copy".into(), &NAME.into()), "{shared:#?}");
        let holders = shared[0]["holders"].as_array().unwrap();
        assert!(holders.iter().any(|one| one["from"] == address), "{shared:#?}");
        let told = live.rig.run(&["duplicates"]);
        assert_eq!(told.code, 1, "{}", told.said());
        assert!(told.stdout.contains(&format!("{NAME} from {address}")), "{}", told.stdout);
    }
    assert_eq!(traits(&live.rig.guest_root(NAME)), live.before);
}
