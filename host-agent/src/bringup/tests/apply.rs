//! Applying specs: once, twice, changed; planning; removing.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::super::api::{Applied, JobFilter, PlanAction, ReportFilter, StepState};
use super::rig::{Rig, service, specs};
use crate::backend::local::{Local, LocalConfig};
use crate::job::{Event, Phase};

const ONE: &str = "name = \"web-01\"";

#[tokio::test]
async fn a_spec_applied_twice_changes_nothing_the_second_time() {
    let rig = Rig::new().await;
    let first = rig.up(ONE).await.remove(0);
    assert_eq!(first.action, Applied::Created);
    rig.until(&first.job, Phase::Waiting).await;
    let joined = rig.up(ONE).await.remove(0);
    assert_eq!((joined.action, &joined.job), (Applied::Joined, &first.job));
    rig.ready(&first.job).await;

    let journal = rig.store.events(&first.job).await.unwrap();
    let again = rig.up(ONE).await.remove(0);
    assert_eq!((again.action, &again.job), (Applied::Unchanged, &first.job));
    assert_eq!(rig.store.events(&first.job).await.unwrap(), journal);
    assert_eq!(rig.service.jobs(&JobFilter::default()).await.unwrap().jobs.len(), 1);

    let fault = rig.refused("name = \"web-01\"\nreadiness = { require = [\"sshd\"] }").await;
    assert_eq!(fault.code, "guest-exists");
    assert!(fault.message.contains("readiness.require: [] -> [\"sshd\"]"), "{fault:?}");
    assert!(fault.hint.is_some_and(|hint| hint.contains("firstlight destroy web-01")));
    rig.paper.world().golden = "another".into();
    let fault = rig.refused(ONE).await;
    assert!(fault.message.contains("golden's content: \"\" -> \"another\""), "{fault:?}");
}

#[tokio::test]
async fn what_is_destroyed_is_gone_whole_and_can_be_made_again() {
    let rig = Rig::new().await;
    let job = rig.up_one(ONE).await;
    rig.ready(&job).await;
    assert_eq!(rig.service.destroy("web-01", "me", "enough").await.unwrap(), job);
    let state = rig.until(&job, Phase::RolledBack).await;
    assert_eq!(state.failure.map(|fault| fault.message), Some("enough".to_owned()));
    rig.assert_clean().await;
    assert_eq!(rig.service.destroy("web-01", "me", "").await.unwrap_err().code, "no-such-guest");
    assert_eq!(rig.service.cancel(&job, "me", "").await.unwrap_err().code, "job-ended");

    let again = rig.up(ONE).await.remove(0);
    assert_eq!(again.action, Applied::Created);
    rig.ready(&again.job).await;
    assert_eq!(rig.service.resolve("web-01").await.unwrap(), Some(again.job));
    assert_eq!(rig.service.resolve(&job).await.unwrap(), Some(job));
}

#[tokio::test]
async fn all_guests_or_none() {
    let rig = Rig::new().await;
    let job = rig.up_one("name = \"web-02\"\non_failure = \"keep\"").await;
    let fault = rig.refused("name = \"web-{n}\"\ncount = 3").await;
    assert!(fault.message.contains("web-02") && fault.message.contains(&job), "{fault:?}");
    assert_eq!(rig.refused("names = [\"a\", \"b\"]\ngolden = \"/missing\"").await.code, "golden-missing");
    assert_eq!(rig.service.jobs(&JobFilter::default()).await.unwrap().jobs.len(), 1);

    let batch = rig.up("names = [\"a\", \"b\", \"c\"]").await;
    let page = rig.service.jobs(&JobFilter { limit: 2, ..Default::default() }).await.unwrap();
    assert_eq!(page.jobs.len(), 2);
    let rest = JobFilter { before: page.next, ..Default::default() };
    let rest = rig.service.jobs(&rest).await.unwrap();
    assert_eq!((rest.jobs.len(), rest.next), (2, None));
    let mine = JobFilter { batch: Some(page.jobs[0].batch.clone()), ..Default::default() };
    assert_eq!(rig.service.jobs(&mine).await.unwrap().jobs.len(), batch.len());
}

#[tokio::test]
async fn guests_of_one_spec_keep_its_order() {
    let rig = Rig::idle().await;
    let guests = ["m", "c", "z", "a", "k"];
    let submitted = rig.up(&format!("names = {guests:?}")).await;
    assert!(submitted.is_sorted_by(|one, other| one.job < other.job), "{submitted:?}");
    let mut page = rig.service.jobs(&JobFilter::default()).await.unwrap().jobs;
    page.reverse();
    let listed: Vec<&str> = page.iter().map(|line| line.guest.as_str()).collect();
    assert_eq!(listed, guests, "lists are newest first");
}

#[tokio::test]
async fn a_view_tells_the_whole_story() {
    let rig = Rig::new().await;
    let job = rig.up_one(ONE).await;
    rig.ready(&job).await;
    let view = rig.service.view(&job).await.unwrap().unwrap();
    assert_eq!(
        (view.state, view.by.as_str(), view.reach.as_deref()),
        (Phase::Done, "me", Some("paper exec"))
    );
    assert_eq!(view.steps.len(), 10);
    assert!(view.steps.iter().all(|step| step.state == StepState::Done && step.attempts == 1));
    assert!(view.mac.is_some() && view.machine_id.is_some() && !view.ssh_host_keys.is_empty());
    let hosts = rig.service.known_hosts(&[]).await.unwrap();
    assert_eq!(hosts[0].names, ["web-01", "192.0.2.1"]);
    assert_eq!(rig.service.reports(&ReportFilter::default()).await.unwrap().reports[0].job, job);
    assert!(rig.service.summary(&[job]).await.unwrap().duplicates.is_empty());
    assert!(rig.service.view("no-such-job").await.unwrap().is_none());
}

#[tokio::test]
async fn a_plan_says_what_would_be_done_for_each_guest() {
    let rig = Rig::new().await;
    let (ready, other) = (rig.up_one(ONE).await, rig.up_one("name = \"web-02\"").await);
    rig.ready(&ready).await;
    rig.until(&other, Phase::Waiting).await;
    let stranger =
        super::paper::Object { guest: "web-04".into(), mac: None, running: false, ..Default::default() };
    rig.paper.world().objects.insert("somebody".into(), stranger);

    let planned = rig.service.plan(&specs("name = \"web-{n}\"\ncount = 4")).await.unwrap();
    let told: Vec<_> = planned.iter().map(|guest| (guest.action, guest.problems.len())).collect();
    let [unchanged, going, create] = [PlanAction::Unchanged, PlanAction::InProgress, PlanAction::Create];
    assert_eq!(told, [(unchanged, 0), (going, 0), (create, 0), (create, 1)]);
    assert_eq!((planned[0].job.as_ref(), planned[1].job.as_ref()), (Some(&ready), Some(&other)));
    assert_eq!((planned[2].steps.len(), planned[0].steps.len()), (10, 0));
    assert_eq!(planned[2].resources, ["node:paper"]);
    assert_eq!(planned[3].problems[0].code, "foreign");

    let changed = rig.service.plan(&specs("name = \"web-01\"\ncores = 2")).await.unwrap();
    assert_eq!(
        (changed[0].action, &changed[0].differences[..]),
        (PlanAction::Conflict, &["cores: (none) -> 2".to_owned()][..])
    );
    let broken = rig.service.plan(&specs("name = \"x\"\ngolden = \"/missing\"")).await.unwrap();
    assert_eq!(broken[0].problems[0].code, "golden-missing");
    assert!(!rig.has_event(&ready, |event| matches!(event, Event::UnwindRequested { .. })).await);
    assert_eq!(rig.service.jobs(&JobFilter::default()).await.unwrap().jobs.len(), 2);
}

/// Every path below these folders.
fn seen(folders: &[&Path]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut left: Vec<_> = folders.iter().map(|folder| folder.to_path_buf()).collect();
    while let Some(folder) = left.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            left.extend(entry.file_type().is_ok_and(|kind| kind.is_dir()).then(|| entry.path()));
            found.insert(entry.path().display().to_string());
        }
    }
    found
}

#[tokio::test]
async fn a_plan_on_this_machine_leaves_no_trace() {
    let state = tempfile::tempdir().unwrap();
    let rig = Rig::idle().await;
    let local = Local::new(LocalConfig { folder: state.path().join("guests-live-here"), report_port: 7443 });
    let service = service(&rig.store, vec![Arc::new(local)]);
    let golden = state.path().join("golden.tar");
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_dir(".", state.path()).unwrap();
    std::fs::write(&golden, archive.into_inner().unwrap()).unwrap();
    let text = format!("[[guest]]\nnames = [\"a\", \"b\"]\ngolden = \"{}\"\n", golden.display());
    let specs = super::super::parse_spec(&text, Path::new("x"), Path::new("/")).unwrap();
    // Other tests make and remove namespaces and cgroups meanwhile: only ours would carry this folder's mark.
    let mark = firstlight_shared::wire::sha256_hex(
        state.path().join("guests-live-here").as_os_str().as_encoded_bytes(),
    );
    let machine = || {
        let all = seen(&[Path::new("/run/netns"), Path::new("/sys/fs/cgroup")]);
        all.into_iter().filter(|path| path.contains(&mark[..8])).collect::<Vec<_>>()
    };
    let before = seen(&[state.path()]);
    let planned = service.plan(&specs).await.unwrap();
    assert!(planned.iter().all(|guest| guest.action == PlanAction::Create), "{planned:?}");
    assert!(planned.iter().all(|guest| guest.problems.is_empty()), "{planned:?}");
    assert_eq!(seen(&[state.path()]), before);
    assert_eq!(machine(), Vec::<String>::new());
}

#[tokio::test]
async fn a_plan_refuses_what_the_restore_would() {
    let state = tempfile::tempdir().unwrap();
    let rig = Rig::idle().await;
    let local = Local::new(LocalConfig { folder: state.path().join("guests-live-here"), report_port: 7443 });
    let service = service(&rig.store, vec![Arc::new(local)]);
    let text = "[[guest]]\nname = \"a\"\ngolden = \"/etc/passwd\"\n";
    let specs = super::super::parse_spec(text, Path::new("x"), Path::new("/")).unwrap();
    let planned = service.plan(&specs).await.unwrap();
    assert_eq!(planned[0].problems[0].code, "golden-not-archive", "{planned:?}");
    assert!(service.submit(&specs, "me").await.is_err());
    assert_eq!(rig.service.jobs(&JobFilter::default()).await.unwrap().jobs.len(), 0);
}

#[tokio::test]
async fn what_does_not_fit_into_the_budget_is_shown_and_refused_and_those_under_way_count() {
    let rig = Rig::new().await;
    rig.service.set_budgets([("node:paper".to_owned(), 4 << 30)].into());
    let one = "name = \"web-01\"\nmemory = \"3G\"";
    rig.up(one).await;
    for (more, code) in [
        ("name = \"web-02\"\nmemory = \"2G\"", "memory-budget"),
        ("name = \"web-02\"\nmemory = \"5G\"", "memory-budget"),
        ("name = \"web-02\"", "memory-unknown"),
        ("name = \"web-{n}\"\nfirst = 2\ncount = 2\nmemory = \"1G\"", "memory-budget"),
    ] {
        let planned = rig.service.plan(&specs(more)).await.unwrap();
        let problems: Vec<String> =
            planned.into_iter().flat_map(|guest| guest.problems).map(|fault| fault.code).collect();
        assert_eq!(problems, [code], "{more}");
        assert_eq!(rig.refused(more).await.code, code, "{more}");
    }
    assert_eq!(rig.up(one).await[0].action, Applied::Joined, "what is there is not asked for again");
    rig.up("name = \"web-02\"\nmemory = \"1G\"").await;
}
