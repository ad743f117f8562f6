use serde_json::{Value, json};

use super::*;
use crate::backend::proxmox::client::endpoint::Endpoint as _;
use crate::backend::proxmox::client::endpoint::config::ReadConfig;
use crate::backend::proxmox::client::endpoint::node::ArchiveConfig;

const NET: &str = "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,ip=dhcp";
const GIB: u64 = 1 << 30;

fn config(value: Value) -> GuestConfig {
    ReadConfig::read(value).unwrap()
}

fn properties(text: &str) -> Properties {
    let Ok(properties) = text.parse();
    properties
}

fn wanted() -> Wanted {
    let mount = |number, path: &str, backup| Volume {
        number,
        path: path.to_owned(),
        storage: "local".to_owned(),
        bytes: Some(GIB),
        options: Properties::default().with("mp", path).with("backup", backup),
    };
    Wanted {
        hostname: Some("web-01".to_owned()),
        nets: vec![(0, properties(NET))],
        root: Volume { bytes: Some(8 * GIB), ..Volume::default() },
        mounts: vec![mount(0, "/srv", 1), mount(1, "/bulk", 0)],
        cores: Some(2),
        memory_mib: Some(1024),
        tags: vec!["firstlight".to_owned(), "web".to_owned()],
        protection: Some(false),
        ..Wanted::default()
    }
}

fn shown(change: &Change) -> String {
    let set = change.set.iter().map(|(key, value)| format!("{key}={value}"));
    set.chain(change.delete.iter().map(|key| format!("-{key}"))).collect::<Vec<_>>().join(" ")
}

#[test]
fn interfaces_are_as_wanted_or_changed_and_no_others_stay() {
    let put = format!("net0={NET}");
    for (has, expected) in [
        (json!({ "net0": "hwaddr=bc:24:11:00:00:01,type=veth,ip=dhcp,bridge=vmbr0,name=eth0" }), ""),
        (json!({ "net0": "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:AA:BB:CC,ip=dhcp" }), put.as_str()),
        (json!({ "net0": "name=eth0,bridge=vmbr1,hwaddr=BC:24:11:00:00:01,ip=dhcp" }), &put),
        (json!({}), &put),
        (json!({ "net0": NET, "net3": "name=eth3" }), "-net3"),
    ] {
        assert_eq!(shown(&nets(&wanted(), &config(has.clone()))), expected, "{has}");
    }
    let kept = Wanted { nets: Vec::new(), ..wanted() };
    assert!(nets(&kept, &config(json!({ "net0": "hwaddr=BC:24:11:AA:BB:CC" }))).is_empty());
}

#[test]
fn options_are_changed_where_they_differ() {
    for (has, expected) in [
        (json!({ "hostname": "web-01", "onboot": 0 }), ""),
        (json!({ "hostname": "web-01" }), ""),
        (
            json!({ "hostname": "golden", "onboot": 1, "protection": 1 }),
            "hostname=web-01 onboot=0 protection=0",
        ),
    ] {
        assert_eq!(shown(&options(&wanted(), &config(has.clone()))), expected, "{has}");
    }
    for (has, expected) in
        [("web;firstlight;x", None), ("", Some("firstlight;web")), ("x;web", Some("x;web;firstlight"))]
    {
        assert_eq!(tags(&wanted(), &config(json!({ "tags": has }))).as_deref(), expected, "{has}");
    }
    for (has, expected) in
        [(json!({ "cores": 2, "memory": "1024" }), ""), (json!({ "memory": 512 }), "cores=2 memory=1024")]
    {
        assert_eq!(shown(&cores_and_memory(&wanted(), &config(has.clone()))), expected, "{has}");
    }
}

#[test]
fn volumes_are_made_and_grown_and_never_shrunk() {
    let grow = |key: &str, bytes| VolumeStep::Grow(key.to_owned(), bytes);
    let put = |key: &str, value: &str| VolumeStep::Put(key.to_owned(), value.to_owned());
    for (rootfs, expected) in [
        ("local:104/vm-104-disk-0.raw,size=8G", None),
        ("local:104/vm-104-disk-0.raw,size=16G", None),
        ("local:104/vm-104-disk-0.raw,size=4G", Some(grow("rootfs", 8 * GIB))),
        ("local:104/vm-104-disk-0.raw", None),
    ] {
        assert_eq!(root(&wanted(), &config(json!({ "rootfs": rootfs }))), expected, "{rootfs}");
    }
    let (srv, bulk) = ("local:104/a.raw,mp=/srv,backup=1,size=1G", "local:104/b.raw,mp=/bulk/,size=1G");
    for (has, expected) in [
        (json!({ "mp0": srv, "mp1": bulk }), vec![]),
        (json!({ "mp7": srv, "mp2": bulk }), vec![]),
        (json!({ "mp0": srv }), vec![put("mp1", "local:1,mp=/bulk,backup=0")]),
        // Another mount has the number.
        (json!({ "mp0": "local:x,mp=/x", "mp1": bulk }), vec![put("mp2", "local:1,mp=/srv,backup=1")]),
        (
            json!({ "mp0": "local:104/a.raw,mp=/srv,size=512M", "mp1": bulk }),
            vec![put("mp0", "local:104/a.raw,mp=/srv,size=512M,backup=1"), grow("mp0", GIB)],
        ),
    ] {
        assert_eq!(mounts(&wanted(), &config(has.clone())), expected, "{has}");
    }
}

#[test]
fn features_have_to_survive() {
    let archive = Archive::new(
        "l:backup/x",
        ArchiveConfig("features: nesting=1,keyctl=1,fuse=0\nunprivileged: 1\n".to_owned()),
    );
    for (has, expected) in [
        (json!({ "features": "keyctl=1,nesting=1", "unprivileged": 1 }), vec![]),
        (json!({ "features": "nesting=1", "unprivileged": "1" }), vec!["features: keyctl=1"]),
        (json!({ "unprivileged": 0 }), vec!["features: nesting=1", "features: keyctl=1", "unprivileged: 1"]),
    ] {
        assert_eq!(lost(&archive, &config(has.clone())).grave, expected, "{has}");
    }
}

#[test]
fn a_guest_that_came_back_is_compared_with_its_archive() {
    let text = "arch: amd64\nhostname: db\nmemory: 512\nnameserver: 10.0.0.1\nnet0: name=eth0,hwaddr=BC:24:11:00:00:09\n\
        rootfs: a:x,size=4G\nmp0: a:y,mp=/data,size=2G\nonboot: 1\nunused0: a:z\nlxc.mount.entry: /x\ntags: a\n[snap]\nmemory: 1\n";
    let archive = Archive::new("l:backup/x", ArchiveConfig(text.to_owned()));
    let whole = || {
        json!({
            "arch": "amd64", "hostname": "db", "memory": 512, "nameserver": "10.0.0.1", "tags": "firstlight",
            "net0": "hwaddr=BC:24:11:00:00:09,name=eth0", "rootfs": "b:q,size=4G", "mp0": "b:r,mp=/data,size=2G",
        })
    };
    let wanted = Wanted::default();
    assert_eq!(differences(&wanted, &archive, &config(whole())), Losses::default());
    for (key, value, grave) in [
        ("net0", "name=eth0,hwaddr=BC:24:11:00:00:01", true),
        ("mp0", "b:r,mp=/data,size=1G", true),
        ("rootfs", "b:q,size=8G", true),
        ("hostname", "web", true),
        ("nameserver", "10.0.0.2", false),
        ("memory", "1024", false),
    ] {
        let mut has = whole();
        has[key] = json!(value);
        let losses = differences(&wanted, &archive, &config(has));
        let expected = if grave { (1, 0) } else { (0, 1) };
        assert_eq!((losses.grave.len(), losses.slight.len()), expected, "{key}: {losses:?}");
    }
    let sized = Wanted { memory_mib: Some(1024), ..Wanted::default() };
    let mut has = whole();
    has["memory"] = json!(1024);
    assert_eq!(differences(&sized, &archive, &config(has)), Losses::default());
}
