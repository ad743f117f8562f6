//! Webhooks: what a receiver gets, and what becomes of what it does not take.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use serde_json::Value;
use sha2::Sha256;

use crate::receiver::{Answer, Received, Receiver};
use crate::rig::Rig;

pub(crate) const KEY: &[u8; 32] = b"the key that both sides know....";

/// A companion that tells the receiver.
async fn rig(receiver: &Receiver, more: &str) -> Rig {
    let mut rig = Rig::idle();
    let secret = rig.path("secret");
    std::fs::write(&secret, format!("whsec_{}\n", STANDARD.encode(KEY))).unwrap();
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    rig.configure(&format!(
        "[[webhook]]\nname = \"ci\"\nurl = \"http://{}/hook?token=hush\"\nsecret = {secret:?}\n{more}",
        receiver.address
    ));
    rig.serve().await;
    rig
}

/// As a receiver verifies it: the specification's own words, apart from our code.
#[track_caller]
pub(crate) fn verified(received: &Received) -> Value {
    let (id, at) = (received.header("webhook-id"), received.header("webhook-timestamp"));
    let age = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(age.abs_diff(at.parse::<u64>().unwrap()) < 300, "{at} is too old or too new");
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY).unwrap();
    mac.update(format!("{id}.{at}.{}", std::str::from_utf8(&received.body).unwrap()).as_bytes());
    let wanted = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    assert!(received.header("webhook-signature").split(' ').any(|one| one == wanted), "{received:?}");
    assert_eq!(received.header("content-type"), "application/json");
    received.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ready_and_destroyed_are_told_once_and_signed() {
    let receiver = Receiver::start(&[]).await;
    let mut rig = rig(&receiver, "").await;
    rig.run(&["up", &rig.spec(&["web-01"], "")]).await.ends_with(0);
    let told = receiver.until(1).await;
    assert_eq!(told[0].path, "/hook?token=hush");
    let body = verified(&told[0]);
    assert_eq!(body["type"], "guest.ready");
    assert!(body["timestamp"].as_str().unwrap().ends_with('Z'));
    let data = &body["data"];
    assert_eq!(
        (&data["guest"], &data["trust"], &data["event"]),
        (&"web-01".into(), &"attested".into(), &"ready".into())
    );
    assert_eq!(data["job"], rig.job("web-01").await);
    assert!(data["golden"].as_str().unwrap().ends_with("golden.tar"), "{data}");
    assert!(data["ssh_host_keys"][0]["key"].as_str().unwrap().starts_with("ssh-ed25519 "), "{data}");
    assert!(!data["addresses"].as_array().unwrap().is_empty() && data["failure"].is_null(), "{data}");

    rig.run(&["destroy", "web-01"]).await.ends_with(0);
    let told = receiver.until(2).await;
    assert_eq!(verified(&told[1])["type"], "guest.destroyed");
    assert_ne!(told[0].header("webhook-id"), told[1].header("webhook-id"));
    let listed = rig.run(&["webhooks"]).await.ends_with(0).stdout;
    assert!(listed.contains("guest.destroyed") && !listed.contains("hush"), "{listed}");
    for attempt in 0.. {
        let listed = rig.run(&["webhooks", "--json"]).await.ends_with(0).json();
        let hook = &listed["webhooks"][0];
        if (&hook["sent"], &hook["waiting"]) == (&2.into(), &0.into()) {
            break;
        }
        assert!(attempt < 100, "{listed:#}");
    }
    // A restart tells nothing twice.
    rig.stop().await;
    rig.serve().await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(receiver.all().len(), 2);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_taken_comes_again_and_says_the_same() {
    let receiver = Receiver::start(&[Answer::Status(500)]).await;
    let mut rig = rig(&receiver, "events = [\"ready\"]\n").await;
    rig.run(&["up", &rig.spec(&["web-01"], "")]).await.ends_with(0);
    receiver.until(1).await;
    let row = loop {
        let listed = rig.run(&["webhooks", "--json"]).await.ends_with(0).json();
        if !listed["messages"][0]["error"].is_null() {
            break listed["messages"][0].clone();
        }
    };
    assert_eq!((&row["state"], &row["tries"]), (&"waiting".into(), &1.into()));
    assert!(row["error"].as_str().unwrap().starts_with("it says 500: no "), "{row}");
    assert!(!row["error"].as_str().unwrap().contains('\u{1b}'), "{row}");
    // The companion dies in between, and the guest is gone before the next attempt.
    rig.stop().await;
    rig.serve().await;
    rig.run(&["destroy", "web-01"]).await.ends_with(0);
    rig.run(&["webhooks", "--retry", "ci"]).await.ends_with(0);
    let told = receiver.until(2).await;
    verified(&told[1]);
    assert_eq!(told[0].body, told[1].body);
    assert_eq!(told[0].header("webhook-id"), told[1].header("webhook-id"));
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(receiver.all().len(), 2, "the end is not wanted");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_says_what_is_wrong_with_the_receiver() {
    let receiver = Receiver::start(&[]).await;
    let mut rig = rig(&receiver, "").await;
    let taken = rig.run(&["webhooks", "--test", "ci"]).await.ends_with(0);
    assert!(taken.stderr.contains("`ci` took the test message"), "{taken:?}");
    assert_eq!(verified(&receiver.until(1).await[0])["type"], "firstlight.test");
    for (answer, words) in [
        (Answer::Status(401), "it says 401"),
        (Answer::Redirect, "redirects are not followed"),
        (Answer::Die, "the connection broke"),
        (Answer::Endless, "it says 500"),
        (Answer::Status(410), "it wants no more"),
    ] {
        receiver.answer(std::slice::from_ref(&answer));
        let refused = rig.run(&["webhooks", "--test", "ci"]).await.ends_with(1).tells(&["`ci` did not take"]);
        assert!(refused.stderr.contains(words), "{answer:?}: {refused:?}");
    }
    assert!(receiver.all().iter().all(|one| one.path == "/hook?token=hush"), "nobody is sent elsewhere");
    // One that hangs holds up nobody: the next message is taken meanwhile.
    receiver.answer(&[Answer::Hang]);
    let hanging = rig.start(&["webhooks", "--test", "ci"]);
    receiver.obeyed().await;
    rig.run(&["webhooks", "--test", "ci"]).await.ends_with(0);
    let hung = hanging.end().await.ends_with(1);
    assert!(hung.stderr.contains("no answer within 20 s"), "{hung:?}");
    rig.run(&["webhooks", "--test", "nobody"]).await.ends_with(5).tells(&["nobody"]);
    rig.stop().await;
    let alone = rig.run(&["webhooks", "--test", "ci"]).await;
    assert_ne!(alone.code, 0, "nobody would send it: {alone:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_bring_up_is_told_with_why() {
    let receiver = Receiver::start(&[]).await;
    let mut rig = rig(&receiver, "").await;
    rig.hypervisor.break_guest("web-01", true);
    rig.run(&["up", &rig.spec(&["web-01"], "")]).await.ends_with(1);
    let body = verified(&receiver.until(1).await[0]);
    assert_eq!(body["type"], "guest.failed", "{body}");
    assert!(!body["data"]["failure"]["code"].as_str().unwrap().is_empty(), "{body}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_that_are_none_and_addresses_in_the_clear_are_refused() {
    let rig = Rig::idle();
    let secret = rig.path("secret");
    let hook = |url: &str| format!("[[webhook]]\nname = \"ci\"\nurl = {url:?}\nsecret = {secret:?}\n");
    for (url, words) in [
        ("http://hooks.example/", "sent in the clear"),
        ("https://user:word@hooks.example/", "without a user"),
        ("ftp://hooks.example/", "is wanted"),
    ] {
        rig.configure_file(&hook(url));
        let checked = rig.run(&["--config", &rig.config(), "config", "check"]).await;
        assert!(checked.code != 0 && checked.stderr.contains(words), "{url}: {checked:?}");
    }
    std::fs::write(&secret, "not of that form").unwrap();
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    rig.configure_file(&hook("http://127.0.0.1:1/"));
    let started = rig.run(&["--config", &rig.config(), "serve"]).await;
    assert!(started.code != 0 && started.stderr.contains("whsec_"), "{started:?}");
    assert!(!started.stderr.contains("not of that form"), "{started:?}");
}
