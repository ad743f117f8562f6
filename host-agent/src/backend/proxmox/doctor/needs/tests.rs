use super::*;
use crate::backend::proxmox::client::endpoint::node::ArchiveConfig;

fn plan(text: &str) -> GuestPlan {
    serde_json::from_str(text).unwrap()
}

const BARE: &str = r#"{"name":"a","golden":"local:backup/x","size":{}}"#;
const RICH: &str = r#"{"name":"b","golden":"local:backup/x","kind":"vm","place":{"node":"pve2","storage":"thin","pool":"lab","vmid":9000},
    "nics":[{"bridge":"vmbr1","vlan":30},{}],"mounts":[{"path":"/data","size_bytes":1,"storage":"slow"}],
    "size":{"cores":2,"memory_bytes":1}}"#;

fn privileges(needs: &[Need], of: impl Fn(&Area) -> bool) -> String {
    let words: Vec<&str> = needs.iter().filter(|need| of(&need.area)).map(|need| need.any[0]).collect();
    words.join(" ")
}

#[test]
fn what_a_plan_does_not_ask_needs_no_privilege() {
    let asks = asks(Some(&[plan(BARE)]), &Defaults::default());
    let needs = needs(&asks, &[], Some((9, 2)));
    let guests = |area: &Area| matches!(area, Area::Guests { .. });
    assert!(needs.iter().all(|need| guests(&need.area)), "{needs:#?}");
    let (must, later): (Vec<Need>, Vec<Need>) = needs.into_iter().partition(|need| need.must);
    assert_eq!(
        privileges(&must, guests),
        "VM.Allocate VM.Audit VM.PowerMgmt VM.Config.Network VM.Config.Options"
    );
    assert_eq!(
        privileges(&later, guests),
        "VM.Config.Memory VM.Snapshot VM.Snapshot",
        "only changes want these"
    );
    assert_eq!(later[2].any, ["VM.Snapshot", "VM.Snapshot.Rollback"]);
}

#[test]
fn a_machine_in_a_pool_needs_all_that_it_asks_for() {
    let asks = asks(Some(&[plan(RICH)]), &Defaults::default());
    let found = needs(&asks, &["pve2".to_owned()], Some((9, 2)));
    assert_eq!(
        privileges(
            &found,
            |area| matches!(area, Area::Guests { vmid: 9000, pool: Some(pool) } if pool == "lab")
        ),
        "VM.Allocate VM.Audit VM.PowerMgmt VM.Config.Network VM.Config.Options VM.Config.CPU VM.Config.Memory VM.Config.Disk \
         VM.Config.HWType VM.GuestAgent.Audit VM.GuestAgent.FileRead VM.Snapshot VM.Snapshot"
    );
    let paths: BTreeSet<String> = found.iter().flat_map(|need| need.area.paths()).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    assert_eq!(
        paths,
        [
            "/nodes/pve2",
            "/pool/lab",
            "/sdn/zones/localnetwork/vmbr0",
            "/sdn/zones/localnetwork/vmbr1/30",
            "/storage/slow",
            "/storage/thin",
            "/vms/9000"
        ]
    );
    let old = needs(&asks, &[], Some((8, 4)));
    assert!(
        privileges(&old, |_| true).contains("VM.Monitor") && !privileges(&old, |_| true).contains("Agent")
    );
}

#[test]
fn rights_are_granted_where_they_are_narrowest() {
    for (area, path) in [
        (Area::Guests { vmid: 9, pool: None }, "/vms"),
        (Area::Guests { vmid: 9, pool: Some("lab/web".into()) }, "/pool/lab/web"),
        (Area::Number(9), "/vms"),
        (Area::Pool("lab".into()), "/pool/lab"),
        (Area::Storage("thin".into()), "/storage/thin"),
        (Area::Bridge("vmbr0".into(), Some(3)), "/sdn/zones/localnetwork/vmbr0"),
        (Area::Node("pve1".into()), "/nodes/pve1"),
    ] {
        assert_eq!(area.grant(), path);
    }
}

#[test]
fn tags_of_containers_want_rights_outside_of_their_pool() {
    let defaults = Defaults { pool: Some("lab".into()), ..Defaults::default() };
    let found = needs(&asks(Some(&[plan(BARE)]), &defaults), &[], None);
    let number: Vec<&Need> = found.iter().filter(|need| matches!(need.area, Area::Number(_))).collect();
    assert!(number.len() == 1 && !number[0].must);
    let untagged = Defaults { tags: Vec::new(), ..defaults };
    let found = needs(&asks(Some(&[plan(BARE)]), &untagged), &[], None);
    assert!(!found.iter().any(|need| matches!(need.area, Area::Number(_))));
}

#[test]
fn without_a_spec_machines_are_a_wish() {
    let found = needs(&asks(None, &Defaults::default()), &[], None);
    let must = |privilege: &str| found.iter().find(|need| need.any[0] == privilege).map(|need| need.must);
    assert_eq!((must("VM.Config.Disk"), must("VM.Config.HWType")), (Some(true), Some(false)));
}

#[test]
fn the_same_guests_are_asked_for_once_and_goldens_fill_gaps() {
    let (mut one, mut two) = (plan(BARE), plan(BARE));
    (one.name, two.name) = ("web-01".parse().unwrap(), "web-02".parse().unwrap());
    let asks = asks(Some(&[one, two]), &Defaults::default());
    assert_eq!(asks.len(), 1);
    let archive = |text: &str| Archive::new("local:backup/x", ArchiveConfig(text.to_owned()));
    let full = asks[0].clone().completed(&archive(
        "rootfs: local:9100/a.raw,size=4G\nmp0: thin:b,mp=/d\nnet0: name=eth0,bridge=vmbr7,tag=12\nscsi0: no:c\n",
    ));
    assert_eq!(full.bridges, BTreeSet::from([("vmbr7".to_owned(), Some(12))]));
    assert_eq!(full.storages, BTreeSet::from(["local".to_owned(), "thin".to_owned()]));
    let machine = Ask { kind: Kind::Vm, ..asks[0].clone() };
    let full = machine
        .completed(&archive("scsi0: thin:a,size=1G\nide2: local:iso/x.iso,media=cdrom\nrootfs: no:x\n"));
    assert_eq!(full.storages, BTreeSet::from(["thin".to_owned()]));
}

/// docs/proxmox.md: its role has all that containers and machines need, and its table explains each.
#[test]
fn the_role_that_the_page_shows_is_enough() {
    let page = include_str!("../../../../../../docs/proxmox.md");
    let line = page.lines().find(|line| line.starts_with("pveum role add")).unwrap();
    let role: BTreeSet<&str> = line.split('"').nth(1).unwrap().split(' ').collect();
    let defaults = Defaults { storage: Some("thin".into()), pool: Some("lab".into()), ..Defaults::default() };
    let needed = needs(&asks(None, &defaults), &["pve1".to_owned()], Some((9, 2)));
    let needed: BTreeSet<&str> = needed.iter().map(|need| need.any[0]).chain(["VM.Backup"]).collect();
    assert_eq!(role, needed);
    let table: String = page.lines().filter(|line| line.starts_with('|')).collect();
    for privilege in needed {
        assert!(table.contains(privilege), "{privilege} is not explained");
    }
}
