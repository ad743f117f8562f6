//! What only the embedded store can do: live in one file, which may be full, read-only, damaged, old, or left by a kill.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use firstlight::job::{JobStore, JournalError, Phase};
use firstlight::store::{Store, Trouble};
use firstlight_shared::error::{Chain, Code};
use firstlight_shared::secret::Secret;

use crate::rig::{Driven, claimant, create, jobs_of, new_job, spec};

async fn store() -> (tempfile::TempDir, PathBuf, Store) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a store?#%.db");
    let store = Store::open(&path).await.unwrap();
    (folder, path, store)
}

#[tokio::test]
async fn leases_end_with_the_life_that_held_them() {
    let (_folder, path, store) = store().await;
    create(&store, "j1").await;
    create(&store, "j2").await;
    let claimed = JobStore::claim(&store, &claimant("one", 1)).await.unwrap();
    Driven::of(&claimed[0]).step(&store, "make").await;
    store.close().await;
    let store = Store::open(&path).await.unwrap();
    let claimed = JobStore::claim(&store, &claimant("two", 10)).await.unwrap();
    assert_eq!(jobs_of(&claimed), ["j1", "j2"]);
    assert!(claimed[0].taken_over && !claimed[1].taken_over);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_among_many_fails_alone() {
    let (_folder, _path, store) = store().await;
    create(&store, "taken").await;
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..200 {
        let store = store.clone();
        calls.spawn(async move {
            let guest = if number % 3 == 0 { "taken".to_owned() } else { format!("g{number}") };
            (number, store.create(&[new_job(&format!("j{number}"), spec(&guest))]).await)
        });
    }
    while let Some(ended) = calls.join_next().await {
        let (number, made) = ended.unwrap();
        match made {
            Ok(()) => assert_ne!(number % 3, 0),
            Err(error) => {
                assert!(number % 3 == 0 && matches!(error, JournalError::NameTaken { .. }), "{error:?}")
            }
        }
        let there = store.job(&format!("j{number}")).await.unwrap().is_some();
        assert_eq!(there, number % 3 != 0);
    }
}

#[tokio::test]
async fn a_wiped_secret_is_nowhere_in_the_folder() {
    let (folder, _path, store) = store().await;
    let secret: Vec<u8> = (0..32).map(|byte| byte ^ 0xa5).collect();
    store.claim_for("j1", "web", "id1", &Secret::new(secret.clone())).await.unwrap();
    let on_disk = || {
        let files = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let holds = |path: &PathBuf| std::fs::read(path).unwrap().windows(32).any(|window| window == secret);
        files.filter(holds).collect::<Vec<_>>()
    };
    assert_ne!(on_disk(), Vec::<PathBuf>::new(), "the test looks where it is");
    store.expire_claim("j1").await.unwrap();
    assert_eq!(on_disk(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_backup_is_whole_private_and_never_overwrites() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, _path, store) = store().await;
    for number in 0..50 {
        create(&store, &format!("j{number:02}")).await;
    }
    let mut job = Driven::of(&JobStore::claim(&store, &claimant("one", 1)).await.unwrap()[0]);
    job.finish(&store).await;
    let to = folder.path().join("it's a backup.db");
    // Work goes on meanwhile.
    let (copied, ()) = tokio::join!(store.backup(&to), create(&store, "later"));
    copied.unwrap();
    assert_eq!(std::fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
    let before = std::fs::read(&to).unwrap();
    let error = store.backup(&to).await.unwrap_err();
    assert_eq!(error.code(), "store-file");
    assert!(error.hint().unwrap().contains("overwritten"));
    assert_eq!(std::fs::read(&to).unwrap(), before);
    let nowhere = store.backup(&folder.path().join("no/such/folder")).await.unwrap_err();
    assert_eq!(nowhere.code(), "store-file");

    let copy = Store::open(&to).await.unwrap();
    assert_eq!(copy.check().await.unwrap(), Vec::<String>::new());
    for number in 0..50 {
        let id = format!("j{number:02}");
        assert_eq!(JobStore::events(&copy, &id).await.unwrap(), JobStore::events(&store, &id).await.unwrap());
    }
    assert_eq!(copy.job("j00").await.unwrap().unwrap().phase, Phase::Done);
}

#[tokio::test]
async fn damaged_newer_and_foreign_files_are_refused() {
    let (folder, path, store) = store().await;
    for number in 0..200 {
        create(&store, &format!("j{number}")).await;
    }
    store.close().await;
    let sound = std::fs::read(&path).unwrap();
    let opened = |bytes: Vec<u8>| {
        let path = folder.path().join("other.db");
        std::fs::write(&path, bytes).unwrap();
        async move { Store::open(&path).await.unwrap_err() }
    };
    // In the middle: only a look at everything finds it.
    let mut torn = sound.clone();
    let middle = torn.len() / 2 / 4096 * 4096;
    torn[middle..middle + 4096].fill(0);
    let error = opened(torn).await;
    assert_eq!((error.code(), error.trouble()), ("store-damaged", Trouble::Damaged), "{}", Chain(&error));
    assert!(error.hint().unwrap().contains("backup"));
    for strange in [vec![7; 8192], sound[..sound.len() / 2].to_vec()] {
        let error = opened(strange).await;
        assert_eq!(error.code(), "store-damaged", "{}", Chain(&error));
    }
    let mut newer = sound;
    newer[60..64].copy_from_slice(&99_u32.to_be_bytes());
    let error = opened(newer).await;
    assert_eq!(error.code(), "store-newer", "{}", Chain(&error));
    let folder_there = Store::open(folder.path()).await.unwrap_err();
    assert_ne!(folder_there.code(), "store-damaged", "{}", Chain(&folder_there));
}

/// Runs one ignored test of this binary with a file system of its own in `folder`, which nobody else sees.
fn in_a_mount(test: &str, mount: &str) {
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "mkdir \"$0\"/disk && cd \"$0\" && {mount} && exec \"$1\" --exact --ignored --nocapture {test}"
    );
    let mut unshare = Command::new("unshare");
    unshare.arg("--mount").args(["--propagation", "private"]);
    if !nix::unistd::geteuid().is_root() {
        unshare.arg("--map-root-user");
    }
    unshare.args(["sh", "-ec", &script]).arg(folder.path()).arg(std::env::current_exe().unwrap());
    let output = unshare.env("FIRSTLIGHT_DISK", folder.path().join("disk")).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.contains("1 passed"),
        "{told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn disk() -> PathBuf {
    std::env::var_os("FIRSTLIGHT_DISK").expect("run by another test").into()
}

#[test]
fn a_full_disk_is_told_and_nothing_is_half_written() {
    in_a_mount("embedded::on_a_full_disk", "mount -t tmpfs -o size=1m none disk");
}

#[tokio::test]
#[ignore = "run by another test"]
async fn on_a_full_disk() {
    let ballast = disk().join("ballast");
    let store = Store::open(&disk().join("firstlight.db")).await.unwrap();
    create(&store, "first").await;
    let mut job = Driven::claim(&store, "here").await;
    std::fs::write(&ballast, vec![1; 1 << 20]).unwrap_err();
    // A tmpfs counts pages: the rest of the last one may take a few rows yet.
    let mut made = Vec::new();
    let error = loop {
        let id = format!("j{}", made.len());
        // All or none, and too big for what is left.
        let batch: Vec<_> =
            (0..50).map(|part| new_job(&format!("{id}-{part}"), spec(&format!("{id}-{part}")))).collect();
        match store.create(&batch).await {
            Ok(()) => made.push(id),
            Err(error) => break error,
        }
    };
    let shown = Chain(&error).to_string();
    let JournalError::Store { source, .. } = &error else { panic!("{shown}") };
    let source = source.downcast_ref::<firstlight::store::StoreError>().unwrap();
    assert_eq!((source.trouble(), source.code()), (Trouble::Full, "store-full"), "{shown}");
    assert!(source.hint().unwrap().contains("space"));
    assert_eq!(
        store.count_jobs().await.unwrap().iter().map(|(_, count)| count).sum::<u64>(),
        1 + 50 * made.len() as u64
    );

    std::fs::remove_file(&ballast).unwrap();
    job.finish(&store).await;
    create(&store, "after").await;
    assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
    store.close().await;
    let store = Store::open(&disk().join("firstlight.db")).await.unwrap();
    assert_eq!(store.job("first").await.unwrap().unwrap().phase, Phase::Done);
    assert!(store.job("after").await.unwrap().is_some());
}

#[test]
fn a_read_only_folder_is_told() {
    let mount =
        "mount -t tmpfs none disk && cp \"$FIRSTLIGHT_SOUND\" disk/sound.db && mount -o remount,ro disk";
    let folder = tempfile::tempdir().unwrap();
    let sound = folder.path().join("sound.db");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { Store::open(&sound).await.unwrap().close().await });
    let mount = mount.replace("$FIRSTLIGHT_SOUND", &sound.display().to_string());
    in_a_mount("embedded::on_a_read_only_disk", &mount);
}

#[tokio::test]
#[ignore = "run by another test"]
async fn on_a_read_only_disk() {
    for name in ["sound.db", "new.db"] {
        let error = Store::open(&disk().join(name)).await.unwrap_err();
        let trouble = error.trouble();
        assert!(
            matches!(trouble, Trouble::ReadOnly | Trouble::Away),
            "{name}: {trouble:?} {}",
            Chain(&error)
        );
        assert!(error.hint().is_some());
    }
}

#[test]
fn whatever_was_acknowledged_before_a_kill_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("firstlight.db");
    let mut acknowledged = Vec::new();
    for round in 0..8_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "--nocapture", "embedded::a_writer_that_never_ends"])
            .env("FIRSTLIGHT_DISK", &path)
            .env("FIRSTLIGHT_ROUND", round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let told =
            lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("ack ").map(str::to_owned));
        // Killed somewhere in the middle of a commit, a little later in each round.
        acknowledged.extend(told.take(40 + round * 37));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(acknowledged.len() >= 8 * 40);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(&path).await.unwrap();
        assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
        for line in &acknowledged {
            let (job, events) = line.split_once(' ').unwrap();
            let there = JobStore::events(&store, job).await.unwrap().len();
            assert!(there >= events.parse::<usize>().unwrap(), "{line}: only {there} events are there");
        }
    });
}

/// Many hands write and say what was acknowledged, until somebody kills them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by another test"]
async fn a_writer_that_never_ends() {
    let store = Store::open(&disk()).await.unwrap();
    let round = std::env::var("FIRSTLIGHT_ROUND").unwrap();
    let mut hands = tokio::task::JoinSet::new();
    for hand in 0..8 {
        let (store, round) = (store.clone(), round.clone());
        hands.spawn(async move {
            for number in 0.. {
                let id = format!("{round}-{hand}-{number}");
                create(&store, &id).await;
                println!("ack {id} 1");
                for claimed in JobStore::claim(&store, &claimant("here", 1)).await.unwrap() {
                    let mut job = Driven::of(&claimed);
                    let step = job.state.current_step().unwrap().name.clone();
                    if !job.state.started {
                        job.step(&store, &step).await;
                        println!("ack {} {}", job.lease.job, job.state.events);
                    }
                    store.release(&[job.lease]).await.unwrap();
                }
            }
        });
    }
    hands.join_next().await;
}

/// A store as the first release left it: one guest ready, one job interrupted, one rolled back by the operator.
const FIRST_SCHEMA: &str = include_str!("first_schema.sql");

async fn old_store(path: &Path) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    sqlx::raw_sql(FIRST_SCHEMA).execute(&pool).await.unwrap();
    pool.close().await;
}

#[tokio::test]
async fn a_store_of_the_first_release_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("firstlight.db");
    old_store(&path).await;
    for _ in 0..2 {
        let store = Store::open(&path).await.unwrap();
        let phase = async |id: &str| store.job(id).await.unwrap().unwrap().phase;
        assert_eq!(phase("ready").await, Phase::Done);
        assert_eq!(phase("interrupted").await, Phase::Running);
        assert_eq!(phase("removed").await, Phase::RolledBack);
        assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
        assert_eq!(JobStore::events(&store, "ready").await.unwrap().len(), 3);
        assert!(store.claim("c1").await.unwrap().unwrap().expired);
        assert_eq!(store.report_of_job("ready").await.unwrap().unwrap().guest, "web-1");
        assert_eq!(store.refusals().await.unwrap().len(), 1);
        let holder = store.holder_of_key("SHA256:one", "new", "new").await.unwrap();
        assert_eq!(holder.as_deref(), Some("web-1"));
        assert_eq!(store.holder_of_key("SHA256:two", "new", "web-3").await.unwrap(), None, "retired");
        let taken = store.create(&[new_job("again", spec("web-1"))]).await.unwrap_err();
        assert!(matches!(taken, JournalError::NameTaken { .. }), "{taken:?}");
        store.close().await;
    }
    let store = Store::open(&path).await.unwrap();
    let claimed = JobStore::claim(&store, &claimant("here", 10)).await.unwrap();
    assert_eq!(jobs_of(&claimed), ["interrupted"]);
    let mut job = Driven::of(&claimed[0]);
    job.append(&store, firstlight::job::Event::StepSucceeded { step: "a".into(), output: true.into() })
        .await
        .unwrap();
    store.create(&[new_job("again", spec("web-3"))]).await.unwrap();
}
