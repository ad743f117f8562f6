//! The API's streams over a real socket, byte by byte.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::rig::Rig;

/// Sends a request and reads until these words came, or the other side ended.
async fn ask(rig: &Rig, path: &str) -> UnixStream {
    let mut stream = UnixStream::connect(rig.state().join("control.sock")).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn until(stream: &mut UnixStream, words: Option<&str>) -> String {
    let mut text = String::new();
    let mut piece = [0; 4096];
    let read = async {
        loop {
            let length = stream.read(&mut piece).await.unwrap();
            text.push_str(&String::from_utf8_lossy(&piece[..length]));
            if length == 0 || words.is_some_and(|words| text.contains(words)) {
                return;
            }
        }
    };
    let read = tokio::time::timeout(Duration::from_secs(20), read).await;
    assert!(read.is_ok(), "{words:?} did not come: {text}");
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_end_when_the_companion_stops() {
    let mut rig = Rig::serving().await;
    rig.hypervisor.change(|manner| manner.silent = true);
    rig.run(&["up", &rig.spec(&["web-01"], ""), "--detach"]).await.ends_with(0);
    rig.await_state("web-01", "waiting").await;
    let mut follow = ask(&rig, "/v1/follow?jobs=web-01").await;
    until(&mut follow, Some("\"waiting\"")).await;
    let mut watch = ask(&rig, "/v1/watch").await;
    until(&mut watch, Some("snapshot")).await;
    rig.stop().await;
    // The last chunk of an answer that ended in order: what is cut off at last has none.
    assert!(until(&mut follow, None).await.ends_with("0\r\n\r\n"));
    assert!(until(&mut watch, None).await.ends_with("0\r\n\r\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_has_ended_is_told_once_and_one_that_is_not_there_at_once() {
    let rig = Rig::serving().await;
    rig.run(&["up", &rig.spec(&["web-01"], "")]).await.ends_with(0);
    let told = until(&mut ask(&rig, "/v1/follow?jobs=web-01").await, None).await;
    assert_eq!(told.matches("{\"name\":\"web-01\",\"job\"").count(), 1, "{told}");
    let refused = until(&mut ask(&rig, "/v1/follow?jobs=web-01,nobody").await, None).await;
    assert!(refused.starts_with("HTTP/1.1 404") && refused.contains("nobody"), "{refused}");
}

/// Only jobs that changed are read: what others do costs a follower nothing but the look at their names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_state_of_a_followed_job_is_told_in_order() {
    let rig = Rig::serving().await;
    rig.hypervisor.change(|manner| manner.silent = true);
    rig.run(&["up", &rig.spec(&["web-01"], ""), "--detach"]).await.ends_with(0);
    rig.await_state("web-01", "waiting").await;
    let mut follow = ask(&rig, "/v1/follow?jobs=web-01").await;
    until(&mut follow, Some("\"waiting\"")).await;
    rig.hypervisor.change(|manner| manner.silent = false);
    rig.run(&["up", &rig.spec(&["web-02"], "")]).await.ends_with(0);
    let told = until(&mut follow, None).await;
    assert!(told.contains("\"done\"") && !told.contains("web-02"), "{told}");
}
