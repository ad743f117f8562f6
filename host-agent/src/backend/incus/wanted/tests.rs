use serde_json::{Value, json};

use super::testing::{UUID, base, config, placement, plan};
use super::*;

fn wanted(keys: Value) -> Wanted {
    Wanted::of(&placement(keys), &base(), &Defaults::default()).unwrap()
}

fn devices(pairs: &[(&str, &str)]) -> Devices {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), config(text))).collect()
}

#[test]
fn a_plain_guest_has_its_profiles_devices_and_our_identity() {
    let wanted = wanted(json!({}));
    assert_eq!(wanted.devices(), Devices::new());
    let config = wanted.config();
    let claim = config.get("user.firstlight.claim").unwrap();
    assert!(claim.starts_with("firstlight1:"));
    for (key, value) in [
        ("user.firstlight.job", "j1"),
        ("volatile.eth0.hwaddr", "10:66:6a:00:00:01"),
        ("environment.container_uuid", UUID),
        ("boot.autostart", "false"),
    ] {
        assert_eq!(config.get(key).map(String::as_str), Some(value), "{key}");
    }
    assert_eq!(config.len(), 5, "{config:?}");
    let security = config.keys().find(|key| key.starts_with("security."));
    assert_eq!(security, None, "what image and profiles say of security stays");
}

#[test]
fn a_machine_has_no_environment_and_a_guest_that_comes_back_no_new_identity() {
    let machine = wanted(json!({ "kind": "vm" })).config();
    assert_eq!(machine.get("volatile.uuid").map(String::as_str), Some(UUID));
    assert_eq!(machine.get("environment.container_uuid"), None);
    let mut back = placement(json!({ "intent": "restore" }));
    back.allocation.slot.as_mut().unwrap().uuid = None;
    let back = Wanted::of(&back, &base(), &Defaults::default()).unwrap();
    assert_eq!((&back.macs, &back.nics), (&Config::new(), &Devices::new()));
    assert_eq!(back.identity.keys().collect::<Vec<_>>(), ["user.firstlight.claim", "user.firstlight.job"]);
}

#[test]
fn without_dev_incus_the_claim_goes_by_the_environment() {
    for (value, channel) in
        [("false", stamp::CLAIM_IN_ENVIRONMENT), ("0", stamp::CLAIM_IN_ENVIRONMENT), ("true", stamp::CLAIM)]
    {
        let mut base = base();
        base.config = config(&format!("security.guestapi={value}"));
        let wanted = Wanted::of(&placement(json!({})), &base, &Defaults::default()).unwrap();
        let claims: Vec<&String> =
            wanted.identity.keys().filter(|key| key.to_lowercase().contains("claim")).collect();
        assert_eq!(claims, [channel], "{value}");
    }
}

#[test]
fn sizes_and_options_are_in_the_words_of_incus() {
    let size = json!({ "cores": 2, "memory_bytes": 512_u64 << 20, "disk_bytes": 10_000_000_001_u64 });
    let wanted = wanted(json!({ "size": size, "onboot": true, "tags": ["web", "lab"] }));
    assert_eq!(wanted.limits, config("limits.cpu=2 limits.memory=512MiB"));
    assert_eq!(wanted.options, config("boot.autostart=true user.firstlight.tags=web,lab"));
    assert_eq!(wanted.root, devices(&[("root", "type=disk path=/ pool=default size=10000000001")]));
}

#[test]
fn a_root_disk_is_the_profiles_unless_something_else_is_asked_for() {
    let of = |keys, base: &Base, pool: Option<&str>| {
        let defaults = Defaults { pool: pool.map(str::to_owned), ..Defaults::default() };
        Wanted::of(&placement(keys), base, &defaults).map(|wanted| wanted.root).map_err(|fault| fault.code)
    };
    let storage = json!({ "place": { "storage": "fast" } });
    let other = Ok(devices(&[("root", "type=disk path=/ pool=fast")]));
    assert_eq!(of(storage.clone(), &base(), None), other);
    assert_eq!(of(json!({}), &base(), Some("fast")), other);
    assert_eq!(of(json!({}), &base(), Some("default")), Ok(Devices::new()));
    let mut bare = base();
    bare.devices.remove("root");
    assert_eq!(of(storage, &bare, None), other);
    assert_eq!(of(json!({}), &bare, None), Err("no-pool".to_owned()));
    bare.devices.insert("disk0".to_owned(), config("type=disk path=/ pool=slow size.state=1GiB"));
    let sized = of(json!({ "size": { "disk_bytes": 1 << 30 } }), &bare, None);
    assert_eq!(sized, Ok(devices(&[("disk0", "type=disk path=/ pool=slow size.state=1GiB size=1024MiB")])));
}

#[test]
fn each_mount_is_a_volume_of_ours() {
    let mounts = json!([
        { "path": "/srv/data", "size_bytes": 1 << 30 },
        { "path": "/srv/more", "size_bytes": null, "storage": "slow" },
    ]);
    let wanted = wanted(json!({ "mounts": mounts }));
    let mounts = devices(&[
        ("firstlight0", "type=disk pool=default source=firstlight-web-01-0 path=/srv/data"),
        ("firstlight1", "type=disk pool=slow source=firstlight-web-01-1 path=/srv/more"),
    ]);
    assert_eq!(wanted.mounts, mounts);
    let stamp = "user.firstlight.job=j1 user.firstlight.guest=web-01";
    assert_eq!(wanted.volumes[0].config, config(&format!("{stamp} size=1024MiB")));
    assert_eq!((wanted.volumes[1].pool.as_str(), &wanted.volumes[1].config), ("slow", &config(stamp)));
}

#[test]
fn interfaces_are_the_plans_and_each_has_a_mac_of_ours() {
    for (nics, expected) in [
        (json!([{ "bridge": "lab" }]), vec![("eth0", "type=nic network=lab name=eth0")]),
        (
            json!([{ "bridge": "br7", "vlan": 30 }, { "address": "10.0.0.5/24" }]),
            vec![
                ("eth0", "type=nic nictype=bridged parent=br7 name=eth0 vlan=30"),
                ("eth1", "type=nic network=incusbr0 name=eth1 ipv4.address=10.0.0.5"),
            ],
        ),
    ] {
        let wanted = wanted(json!({ "nics": nics }));
        assert_eq!(wanted.nics, devices(&expected), "{nics}");
        assert_eq!(wanted.macs.len(), expected.len());
    }
}

#[test]
fn devices_that_are_not_wanted_or_name_a_mac_are_written_anew() {
    let mut base = base();
    let pinned = "type=nic network=incusbr0 name=eth0 hwaddr=10:66:6a:ff:ff:ff";
    base.devices.insert("eth0".to_owned(), config(pinned));
    base.devices.insert("eth10".to_owned(), config("type=nic network=lab name=eth10"));
    base.devices.insert("eth2".to_owned(), config("type=nic network=lab name=eth2"));
    assert_eq!(nic_names(&base.devices), ["eth0", "eth2", "eth10"]);
    assert_eq!(
        (interfaces(&plan(json!({})), &base), interfaces(&plan(json!({ "nics": [{}] })), &base)),
        (3, 1)
    );
    let of = |keys| Wanted::of(&placement(keys), &base, &Defaults::default()).unwrap();
    let ours = pinned.replace("ff:ff:ff", "00:00:01");
    assert_eq!(of(json!({})).nics, devices(&[("eth0", &ours)]));
    assert_eq!(
        of(json!({})).macs,
        config("volatile.eth0.hwaddr=10:66:6a:00:00:01 volatile.eth2.hwaddr=10:66:6a:00:00:02")
    );
    let one = of(json!({ "nics": [{ "bridge": "lab" }] }));
    assert_eq!(
        one.nics,
        devices(&[("eth0", "type=nic network=lab name=eth0"), ("eth10", "type=none"), ("eth2", "type=none")])
    );
    assert_eq!(one.macs.len(), 1);
}

#[test]
fn a_guest_without_any_network_to_go_by_says_so() {
    let bare = Base { devices: devices(&[("root", "type=disk path=/ pool=default")]), ..Base::default() };
    let plan = placement(json!({ "nics": [{ "bridge": "lab" }, {}] }));
    let fault = Wanted::of(&plan, &bare, &Defaults::default()).unwrap_err();
    assert_eq!(
        (fault.code.as_str(), fault.message.starts_with("nics[1]: ")),
        ("no-network", true),
        "{fault}"
    );
    let lab = Defaults { network: Some("lab".to_owned()), ..Defaults::default() };
    let nics = Wanted::of(&plan, &bare, &lab).unwrap().nics;
    assert_eq!(nics["eth1"], config("type=nic nictype=bridged parent=lab name=eth1"));
    assert_eq!(Wanted::of(&placement(json!({})), &bare, &Defaults::default()).unwrap().macs, Config::new());
}

#[test]
fn the_macs_of_an_instance_are_read_in_order() {
    let devices = devices(&[
        ("eth1", "type=nic hwaddr=10:66:6a:00:00:0b"),
        ("eth0", "type=nic"),
        ("root", "type=disk"),
    ]);
    let config = config("volatile.eth0.hwaddr=10:66:6a:00:00:0a volatile.eth1.hwaddr=10:66:6a:00:00:0c");
    let macs: Vec<String> = macs_of(&config, &devices).iter().map(ToString::to_string).collect();
    assert_eq!(macs, ["10:66:6a:00:00:0a", "10:66:6a:00:00:0b"]);
}
