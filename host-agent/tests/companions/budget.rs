//! One budget of memory, two companions that count at once.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::companion::{SHORT, Terms};
use crate::rig::{Rig, await_state, names, spec};

const GIB: u64 = 1 << 30;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn companions_that_count_at_once_never_give_a_place_away_twice() {
    let rig = Rig::new();
    let terms = Terms { budget: Some("3G"), ..SHORT };
    let companions = [rig.companion_with("one", terms).await, rig.companion_with("two", terms).await];
    rig.report_to(&companions.each_ref());
    let guests = names(8);
    let asked = guests.iter().zip(companions.iter().cycle()).map(async |(guest, companion)| {
        let mut spec = spec(guest);
        spec.plan.size.memory_bytes = Some(GIB);
        companion.try_post("/v1/up", &json!({ "guests": [spec], "by": "test" })).await
    });
    let answers = futures_util::future::join_all(asked).await;
    let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(status, _)| status.is_success());
    for (_, refusal) in &refused {
        assert!(refusal.to_string().contains("memory-budget"), "{refusal:#}");
    }
    let job = |answer: &Value| (answer["jobs"][0]["guest"].to_string(), text(&answer["jobs"][0]["job"]));
    let jobs: BTreeMap<String, String> = made.iter().map(|(_, answer)| job(answer)).collect();
    assert_eq!(jobs.len(), 3, "{made:?}");
    await_state(&companions[0], &jobs, "done", 60).await;
    let memory: u64 = rig.hypervisor.machines().iter().map(|machine| machine.memory).sum();
    assert_eq!(memory, 3 * GIB);
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
