//! Changes of a container that is there: memory, snapshots, and a storage that takes none.

use firstlight::backend::Backend as _;
use firstlight::outcome::{Act, Fault, Followed};
use serde_json::json;

use super::rig::{Rig, VMID};

async fn settled(rig: &Rig, act: Act) -> Result<(), Fault> {
    match act {
        Act::Applied(_) => Ok(()),
        Act::Started(task) => match rig.backend.follow_change(&rig.guest, &task).await {
            Followed::Done(_) => Ok(()),
            Followed::Failed(fault) | Followed::Unknown(fault) => Err(fault),
        },
        Act::Refused(fault) | Act::Unknown(fault) => Err(fault),
    }
}

fn names(rig: &Rig) -> Vec<String> {
    rig.sim.with_world(|world| world.guests[&VMID].snapshots.keys().cloned().collect())
}

#[tokio::test]
async fn memory_is_changed_by_stop_set_and_start_and_repeated_it_does_nothing() {
    let mut rig = Rig::new(json!({ "size": { "memory_bytes": 1_u64 << 30 } }));
    rig.up().await;
    assert_eq!(rig.backend.memory(&rig.guest).await.unwrap(), Some(1 << 30));
    let before = rig.changes().len();
    settled(&rig, rig.backend.set_memory(&rig.guest, 2 << 30).await).await.unwrap();
    assert_eq!(rig.backend.memory(&rig.guest).await.unwrap(), Some(2 << 30));
    assert!(rig.backend.observe(&rig.guest).await.unwrap().running);
    let path = "/nodes/pve1/lxc/101";
    let done = [
        format!("POST {path}/status/shutdown"),
        format!("PUT {path}/config"),
        format!("POST {path}/status/start"),
    ];
    assert_eq!(rig.changes()[before..], done);
    settled(&rig, rig.backend.set_memory(&rig.guest, 2 << 30).await).await.unwrap();
    assert_eq!(rig.changes().len(), before + 3, "it is there already");
    let used = rig.backend.memory_in_use(&rig.guest.plan).await.unwrap().unwrap();
    assert!(used.bytes >= 2 << 30 && used.total_bytes > used.bytes, "{used:?}");
}

#[tokio::test]
async fn a_snapshot_is_taken_once_gone_back_to_and_removed() {
    let mut rig = Rig::new(json!({ "place": { "storage": "thin" } }));
    rig.up().await;
    settled(&rig, rig.backend.snapshot(&rig.guest, "before").await).await.unwrap();
    settled(&rig, rig.backend.snapshot(&rig.guest, "before").await).await.unwrap();
    assert_eq!(names(&rig), ["before"]);
    let listed = rig.backend.snapshots(&rig.guest).await.unwrap();
    assert_eq!((listed.len(), listed[0].name.as_str()), (1, "before"), "`current` is no snapshot");
    assert!(listed[0].taken_at_ms.is_some());

    settled(&rig, rig.backend.set_memory(&rig.guest, 2 << 30).await).await.unwrap();
    settled(&rig, rig.backend.restore_snapshot(&rig.guest, "before").await).await.unwrap();
    let back = rig.backend.memory(&rig.guest).await.unwrap();
    assert_ne!(back, Some(2 << 30), "the configuration is the snapshot's");
    for attempt in 0.. {
        if rig.backend.observe(&rig.guest).await.unwrap().running {
            break;
        }
        assert!(attempt < 100, "it does not come up again");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }

    settled(&rig, rig.backend.remove_snapshot(&rig.guest, "before").await).await.unwrap();
    settled(&rig, rig.backend.remove_snapshot(&rig.guest, "before").await).await.unwrap();
    assert_eq!(names(&rig), Vec::<String>::new());
    let fault = settled(&rig, rig.backend.restore_snapshot(&rig.guest, "before").await).await.unwrap_err();
    assert!(fault.message.contains("does not exist"), "{fault:?}");
}

#[tokio::test]
async fn a_storage_that_takes_no_snapshots_is_said_to_be_one() {
    let mut rig = Rig::new(json!({ "place": { "storage": "local" } }));
    rig.up().await;
    let fault = settled(&rig, rig.backend.snapshot(&rig.guest, "before").await).await.unwrap_err();
    assert_eq!(fault.code, "snapshots-unsupported");
    assert!(fault.hint.is_some_and(|hint| hint.contains("LVM-thin")));
    assert_eq!(rig.sim.with_world(|world| world.guests[&VMID].get("lock").map(str::to_owned)), None);
}
