use serde_json::{Value, json};

use super::*;
use crate::backend::proxmox::client::endpoint::Endpoint as _;
use crate::backend::proxmox::client::endpoint::config::ReadConfig;
use crate::backend::proxmox::client::endpoint::guest::Kind;

const JOB: &str = "0123abcd";

fn guest(kind: Kind) -> Guest {
    Guest { node: "pve1".to_owned(), kind, vmid: 104 }
}

fn upid(kind: &str) -> Upid {
    format!("UPID:pve1:00000D27:00056742:6B017F12:{kind}:104:lab@pve!host:").parse().unwrap()
}

fn config(kind: Kind, value: Value) -> Seen {
    Seen::Config(guest(kind), ReadConfig::read(value).unwrap())
}

fn ended(exit: &str) -> Restoring {
    Restoring::Ended(upid("vzrestore"), exit.to_owned())
}

fn word(standing: &Standing) -> &'static str {
    match standing {
        Standing::Free => "free",
        Standing::Ours(_) => "ours",
        Standing::Making(_) => "making",
        Standing::Unfinished(Unfinished { removable: true, .. }) => "unfinished",
        Standing::Unfinished(_) => "unfinished, for root",
        Standing::Hidden(_) => "hidden",
        Standing::Nascent(_) => "nascent",
        Standing::Other(_) => "other",
    }
}

#[test]
fn whose_a_guest_is() {
    let stamped = |job: &str| stamp::stamped(job, "web-01");
    let lxc = |value| config(Kind::Lxc, value);
    let hidden = || Seen::Hidden("Permission check failed (/vms/104, VM.Audit)".to_owned());
    let never = || Restoring::Never;
    let running = || Restoring::Running(upid("vzrestore"));
    let locked = || lxc(json!({"digest": "0", "lock": "create"}));
    let killed = "unexpected status";
    let table = [
        // The stamp decides, whatever became of the task.
        (lxc(json!({"description": stamped(JOB)})), never(), false, "ours"),
        (lxc(json!({"description": stamped(JOB), "lock": "backup"})), ended(killed), false, "ours"),
        (lxc(json!({"description": stamped("ffff")})), ended(killed), false, "other"),
        (lxc(json!({"description": stamped(JOB), "lock": "create"})), running(), false, "making"),
        (lxc(json!({"description": stamped(JOB), "lock": "create"})), ended(killed), false, "ours"),
        // Nothing is there, or not yet.
        (Seen::Missing, never(), true, "free"),
        (Seen::Missing, ended("unable to restore CT 104 - out of space"), true, "free"),
        (Seen::Missing, running(), true, "making"),
        (hidden(), never(), true, "free"),
        (hidden(), ended("OK"), true, "free"),
        // It is being made.
        (locked(), running(), false, "making"),
        (hidden(), running(), false, "making"),
        // What a bad end left.
        (locked(), ended(killed), false, "unfinished, for root"),
        (hidden(), ended(killed), false, "unfinished, for root"),
        (lxc(json!({"digest": "0"})), ended(killed), false, "unfinished"),
        (config(Kind::Qemu, json!({"digest": "0", "memory": "128"})), ended("no space"), false, "unfinished"),
        // A guest that came to the VMID after our restore had failed, or before it.
        (lxc(json!({"hostname": "db", "memory": 512})), ended(killed), false, "other"),
        (locked(), ended("unable to restore CT 104 - CT 104 already exists on node 'pve1'"), false, "other"),
        (locked(), never(), false, "other"),
        (locked(), ended("OK"), false, "other"),
        (hidden(), never(), false, "other"),
        (hidden(), ended("OK"), false, "hidden"),
        (lxc(json!({"description": "mine"})), never(), false, "other"),
        (Seen::Missing, ended(killed), false, "other"),
    ];
    for (number, (config, restoring, free, expected)) in table.into_iter().enumerate() {
        let kind = if let Seen::Config(guest, _) = &config { guest.kind } else { Kind::Lxc };
        let shown = format!("row {number}: {config:?} {restoring:?} {free}");
        let standing = decide(JOB, &guest(kind), Facts { config, restoring, free, doubt: false });
        assert_eq!(word(&standing), expected, "{shown}");
    }
}

#[test]
fn while_an_answer_is_missing_an_empty_guest_is_not_yet_anybodys() {
    let lxc = |value| config(Kind::Lxc, value);
    let never = || Restoring::Never;
    for (number, (config, restoring, expected)) in [
        (lxc(json!({"digest": "0", "lock": "create"})), never(), "nascent"),
        (config(Kind::Qemu, json!({"digest": "0", "memory": "128"})), never(), "nascent"),
        (lxc(json!({"digest": "0", "lock": "create"})), ended("OK"), "nascent"),
        (Seen::Hidden("no".to_owned()), never(), "nascent"),
        (lxc(json!({"digest": "0", "lock": "create"})), ended("unexpected status"), "unfinished, for root"),
        (lxc(json!({"hostname": "db"})), never(), "other"),
        (lxc(json!({"description": stamp::stamped("ffff", "db")})), never(), "other"),
        (lxc(json!({"description": stamp::stamped(JOB, "web-01")})), never(), "ours"),
        (Seen::Missing, never(), "other"),
    ]
    .into_iter()
    .enumerate()
    {
        let kind = if let Seen::Config(guest, _) = &config { guest.kind } else { Kind::Lxc };
        let facts = Facts { config, restoring, free: false, doubt: true };
        assert_eq!(word(&decide(JOB, &guest(kind), facts)), expected, "row {number}");
    }
}

#[test]
fn what_only_root_can_clear_comes_with_the_commands() {
    let unfinished = |removable| Unfinished {
        guest: guest(Kind::Lxc),
        task: upid("vzrestore"),
        exit: "unexpected status".to_owned(),
        removable,
    };
    let hint = unfinished(false).fault().hint.unwrap();
    assert!(hint.contains("`pct unlock 104`") && hint.contains("on pve1"), "{hint}");
    assert_eq!(unfinished(true).fault().hint, None);
}
