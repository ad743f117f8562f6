//! Start, reload, drain, end.

use std::time::Duration;

use firstlight::daemon::{Companion, Purpose};
use firstlight_shared::error::Code;
use tokio::io::AsyncReadExt;

use crate::client::{Proof, connect};
use crate::rig::{OPERATOR, READER, Rig};

fn bearer(token: &str) -> Proof<'_> {
    Proof { bearer: Some(token), ..Proof::default() }
}

#[tokio::test]
async fn a_reload_changes_tokens_and_certificates_and_ends_old_connections() {
    let rig = Rig::new("");
    let companion = rig.start().await;
    let mut idle = connect(rig.api, &rig.authority.pem()).await.unwrap();
    assert_eq!(rig.tls(bearer(READER), "GET", "/v1/jobs").await.status, 200);

    // Nothing has changed: nobody is sent away.
    companion.reload(&rig.load().settings).unwrap();
    let silent = tokio::time::timeout(Duration::from_millis(300), idle.read_u8()).await;
    assert!(silent.is_err(), "the connection was ended: {silent:?}");

    rig.write("reader", "another-token-that-may-look");
    let server = rig.authority.sign("another server");
    rig.write("server.pem", &server.certificate);
    rig.write("server.key", &server.key);
    companion.reload(&rig.load().settings).unwrap();
    let ended =
        tokio::time::timeout(Duration::from_secs(60), idle.read_u8()).await.expect("the connection ends");
    assert!(ended.is_err());
    assert_eq!(rig.tls(bearer(READER), "GET", "/v1/jobs").await.status, 401);
    assert_eq!(rig.tls(bearer("another-token-that-may-look"), "GET", "/v1/jobs").await.status, 200);
    let stream = connect(rig.api, &rig.authority.pem()).await.unwrap();
    let shown = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
    let (_, shown) = x509_parser::parse_x509_certificate(&shown).unwrap();
    assert!(shown.subject().to_string().contains("another server"), "{}", shown.subject());
    companion.stop().await;
}

#[tokio::test]
async fn a_reload_that_cannot_be_used_changes_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let rig = Rig::new("");
    let companion = rig.start().await;
    for (name, text, mode, code) in [
        ("reader", "short", 0o600, "api-token"),
        ("reader", OPERATOR, 0o600, "api-token"),
        ("reader", "a-token-that-others-may-read", 0o644, "secret-exposed"),
        ("server.pem", "no certificate", 0o600, "api-certificate"),
        ("server.key", "no key", 0o600, "api-certificate"),
        ("clients.pem", "", 0o600, "api-certificate"),
    ] {
        let old = std::fs::read_to_string(rig.path(name)).unwrap();
        rig.write(name, text);
        std::fs::set_permissions(rig.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
        let error = companion.reload(&rig.load().settings).expect_err(name);
        assert_eq!(error.code(), code, "{error}");
        assert!(!format!("{error:?} {error}").contains("a-token-that"), "{error:?}");
        assert_eq!(rig.tls(bearer(READER), "GET", "/v1/jobs").await.status, 200, "the old rules count");
        rig.write(name, &old);
    }
    companion.stop().await;
}

#[tokio::test]
async fn draining_is_not_ready_but_alive_and_the_end_closes_everything() {
    let rig = Rig::new("");
    let companion = rig.start().await;
    rig.until("/readyz", |answer| answer.status == 200).await;
    companion.drain(Duration::from_secs(5)).await;
    let unready = rig.tls(Proof::default(), "GET", "/readyz").await;
    assert_eq!((unready.status, unready.code().as_str()), (503, "not-ready"));
    assert_eq!(rig.tls(Proof::default(), "GET", "/livez").await.status, 200);
    assert_eq!(rig.socket("GET", "/v1/jobs").await.status, 200, "one may still look");
    let mut idle = connect(rig.api, &rig.authority.pem()).await.unwrap();
    let began = std::time::Instant::now();
    companion.stop().await;
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "an idle connection holds nobody: {:?}",
        began.elapsed()
    );
    assert!(idle.read_u8().await.is_err());
    assert!(!rig.path("control.sock").exists());
    assert!(tokio::net::TcpStream::connect(rig.api).await.is_err());
    rig.start().await.stop().await;
}

#[tokio::test]
async fn two_companions_do_not_share_a_state_folder() {
    let rig = Rig::new("");
    let companion = rig.start().await;
    let second = Companion::start(&rig.load().settings, Purpose::Work, Vec::new()).await.unwrap_err();
    assert_eq!(second.code(), "state-in-use");
    companion.stop().await;
}

#[tokio::test]
async fn metrics_are_whole_and_counted() {
    let rig = Rig::new("");
    let companion = rig.start().await;
    let answer =
        rig.until("/metrics", |answer| answer.body.contains("firstlight_jobs{phase=\"done\"} 0")).await;
    assert!(answer.head.contains("application/openmetrics-text"));
    assert!(answer.body.contains("firstlight_build_info{version=") && answer.body.ends_with("# EOF\n"));
    let refused =
        crate::peer::to_reports(rig.reports, "POST", firstlight_shared::paths::REPORT_ENDPOINT).await;
    assert!(refused.status >= 400);
    let counted = format!("firstlight_reports_total{{code=\"{}\"}} 1", refused.code());
    rig.until("/metrics", |answer| answer.body.contains(&counted)).await;
    companion.stop().await;
}

#[tokio::test]
async fn all_companions_of_a_store_have_one_key_unless_a_file_says_another() {
    let rig = Rig::new("");
    let first = rig.start().await;
    let pin = first.service.pin;
    first.stop().await;
    let second = rig.start().await;
    assert_eq!(second.service.pin, pin, "guests that wait pin it");
    second.stop().await;
    rig.write("reports.key", &rcgen::KeyPair::generate().unwrap().serialize_pem());
    let text = std::fs::read_to_string(rig.path("firstlight.toml")).unwrap();
    let key = rig.path("reports.key");
    rig.write("firstlight.toml", &text.replace("[reports]\n", &format!("[reports]\nkey = {key:?}\n")));
    let third = rig.start().await;
    assert_ne!(third.service.pin, pin);
    third.stop().await;
}

/// A child of whoever listened there may have the socket for a moment longer.
#[tokio::test]
async fn a_port_that_is_free_in_a_moment_is_waited_for_and_one_that_is_taken_is_told() {
    let rig = Rig::new("");
    let held = std::net::TcpListener::bind(rig.reports).unwrap();
    let start = |rig: &Rig| {
        let settings = rig.load().settings;
        async move { Companion::start(&settings, Purpose::Serve, Vec::new()).await }
    };
    let refused = start(&rig).await.expect_err("somebody else listens there").to_string();
    assert!(refused.contains(&rig.reports.to_string()), "{refused}");
    let freed = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        drop(held);
    });
    start(&rig).await.expect("it is free by now").stop().await;
    freed.await.unwrap();
}
