use super::*;
use crate::backend::proxmox::client::task::Exit;
use crate::backend::proxmox::client::verdict::classify_exit;
use crate::backend::{Allocation, GuestPlan, Slot};

const TOKEN: &str = "lab@pve!host";

fn upid(kind: &str, started: u64, user: &str) -> Upid {
    format!("UPID:pve1:00000D27:00056742:{started:08X}:{kind}:104:{user}:").parse().unwrap()
}

fn placement() -> Placement {
    let plan: GuestPlan =
        serde_json::from_value(json!({ "name": "web-01", "golden": "local:backup/x" })).unwrap();
    let slot = Slot { id: "104".to_owned(), node: "pve1".to_owned(), uuid: None, since_s: 1000 };
    let mac = "BC:24:11:00:00:01".parse().unwrap();
    let allocation = Allocation { mac, more_macs: Vec::new(), addresses: Vec::new(), slot: Some(slot) };
    let claim = serde_json::from_value(json!({ "version": 1, "id": "c" })).unwrap();
    Placement::new("j", plan, allocation, claim)
}

fn end(kind: &str, exit: &str) -> TaskEnd {
    match Exit::parse(Some(exit)) {
        Exit::Failed(text) => {
            TaskEnd::Failed { class: classify_exit(kind, &text), text, log: vec!["tar: no".to_owned()] }
        }
        Exit::Unknown(text) => TaskEnd::Unknown { text },
        Exit::Ok | Exit::Warnings(_) => TaskEnd::Done { warnings: 0, remarks: Vec::new() },
    }
}

fn word(followed: &Followed) -> String {
    match followed {
        Followed::Done(output) => format!("done {output}"),
        Followed::Failed(fault) => format!("failed {}", fault.code),
        Followed::Unknown(fault) => format!("unknown {}", fault.code),
    }
}

#[test]
fn what_the_end_of_a_task_means() {
    for (stage, kind, exit, expected) in [
        (Stage::Restore, "vzrestore", "OK", r#"done {"id":"104","node":"pve1"}"#),
        (Stage::Start, "vzstart", "OK", "done {}"),
        (Stage::Start, "vzstart", "WARNINGS: 1", "done {}"),
        (Stage::Start, "hastart", "OK", "unknown ha-queued"),
        (Stage::Restore, "vzrestore", "unexpected status", "unknown task-unknown"),
        (Stage::Restore, "vzrestore", "something new", "failed proxmox-server-error"),
        (
            Stage::Restore,
            "vzrestore",
            "unable to restore CT 104 - CT 104 already exists on node 'pve1'",
            "unknown proxmox-exists",
        ),
        (
            Stage::Start,
            "vzstart",
            "can't lock file '/run/lock/lxc/pve-config-104.lock' - got timeout",
            "unknown proxmox-locked",
        ),
        (Stage::Start, "vzstart", "CT is locked (backup)", "failed proxmox-locked"),
        (Stage::Start, "vzstart", "CT 104 already running", "unknown proxmox-already-so"),
        (
            Stage::Restore,
            "vzrestore",
            "unable to restore CT 104 - 403 Permission check failed (/, Sys.Modify)",
            "failed proxmox-denied",
        ),
        (
            Stage::Restore,
            "vzrestore",
            "unable to restore CT 104 - received interrupt",
            "failed proxmox-interrupted",
        ),
    ] {
        let found = followed(stage, &placement(), &upid(kind, 1, TOKEN), end(kind, exit));
        assert_eq!(word(&found), expected, "{kind}: {exit}");
    }
}

#[test]
fn a_volume_whose_file_system_did_not_grow_is_a_failure_and_other_remarks_are_kept() {
    let done = |remark: &str| TaskEnd::Done { warnings: 0, remarks: vec![remark.to_owned()] };
    let resize = followed(Stage::Size, &placement(), &upid("resize", 1, TOKEN), done("Failed to update"));
    assert_eq!(word(&resize), "failed not-grown");
    let restore =
        followed(Stage::Restore, &placement(), &upid("vzrestore", 1, TOKEN), done("WARN: skipping"));
    assert_eq!(word(&restore), r#"done {"id":"104","node":"pve1","remarks":["WARN: skipping"]}"#);
}

#[test]
fn a_failure_says_what_to_do_or_what_the_log_said_last() {
    let hint = |exit: &str| match followed(
        Stage::Start,
        &placement(),
        &upid("vzstart", 1, TOKEN),
        end("vzstart", exit),
    ) {
        Followed::Failed(fault) => fault.hint.unwrap(),
        other => panic!("{other:?}"),
    };
    assert!(hint("CT is locked (backup)").contains("`pct unlock 104`"));
    assert!(hint("403 Permission check failed (/, Sys.Modify)").contains("Sys.Modify"));
    assert_eq!(hint("something new"), "its log ends with: tar: no");
}

#[test]
fn only_our_own_tasks_count_and_what_runs_comes_first() {
    let line = |kind: &str, started, user: &str, ended: Option<&str>| TaskLine {
        upid: upid(kind, started, user),
        ended: ended.map(str::to_owned),
    };
    let lines = vec![
        line("vzrestore", 50, TOKEN, Some("OK")),
        line("vzrestore", 100, TOKEN, Some("x")),
        line("vzrestore", 101, TOKEN, None),
        line("vzrestore", 102, TOKEN, Some("OK")),
        line("vzrestore", 103, "root@pam", None),
        line("vzstart", 104, TOKEN, None),
    ];
    let found: Vec<u64> =
        own(lines, TOKEN, 104, "vzrestore", 60).iter().map(|line| line.upid.started).collect();
    assert_eq!(found, [101, 102, 100]);
}
