//! The place for reports is served as long as there is one: a guest that comes while the last one leaves is heard.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::paper::{Object, Paper};
use crate::bringup::Endpoints;
use crate::outcome::Fault;

/// Endpoints, and everybody who ever took reports for them.
fn endpoints() -> (Endpoints, Arc<Mutex<Vec<JoinHandle<()>>>>) {
    let servers: Arc<Mutex<Vec<JoinHandle<()>>>> = Arc::default();
    let all = servers.clone();
    let serve = move |_| {
        let server = tokio::spawn(std::future::pending());
        let handle = server.abort_handle();
        all.lock().unwrap().push(server);
        handle
    };
    (Endpoints::new(Arc::new(serve)), servers)
}

/// Those who still take reports, by the order in which they began.
async fn serving(servers: &Mutex<Vec<JoinHandle<()>>>) -> Vec<usize> {
    tokio::task::yield_now().await;
    let servers = servers.lock().unwrap();
    servers.iter().enumerate().filter(|(_, server)| !server.is_finished()).map(|(number, _)| number).collect()
}

#[tokio::test]
async fn what_a_backend_keeps_is_served_on() {
    let (endpoints, servers) = endpoints();
    let paper = Paper::default();
    paper.world().socket = Some(false);
    let unused = async || Ok(false);
    endpoints.ensure(&paper).await.unwrap();
    assert_eq!(serving(&servers).await, [0]);

    // Nobody knew of a guest, and now the backend has one.
    paper.world().objects.insert("job".into(), Object::default());
    endpoints.release(&paper, unused()).await.unwrap();
    endpoints.ensure(&paper).await.unwrap();
    assert_eq!(serving(&servers).await, [0]);

    // It is needed, or nobody can tell: the backend is not even asked.
    paper.world().objects.clear();
    endpoints.release(&paper, async { Ok(true) }).await.unwrap();
    let untold = async { Err(Fault::new("store", "it is away")) };
    assert_eq!(endpoints.release(&paper, untold).await.unwrap_err().code, "store");
    assert_eq!((serving(&servers).await, paper.world().released), (vec![0], 0));

    endpoints.release(&paper, unused()).await.unwrap();
    assert_eq!((serving(&servers).await, paper.world().released), (vec![], 1));
    assert!(!endpoints.is_open(&paper).await);
    endpoints.ensure(&paper).await.unwrap();
    assert_eq!(serving(&servers).await, [1]);
}

#[tokio::test]
async fn who_comes_while_the_place_is_removed_gets_a_new_one() {
    let (endpoints, servers) = endpoints();
    let paper = Paper::default();
    paper.world().socket = Some(false);
    endpoints.ensure(&paper).await.unwrap();
    let (asked, told) = (tokio::sync::Notify::new(), tokio::sync::Notify::new());
    let is_needed = async {
        asked.notify_one();
        told.notified().await;
        Ok(false)
    };
    let comes = async {
        asked.notified().await;
        let ensure = endpoints.ensure(&paper);
        tokio::pin!(ensure);
        let early = tokio::time::timeout(Duration::ZERO, &mut ensure).await;
        assert!(early.is_err(), "made ready in the middle of a removal");
        told.notify_one();
        ensure.await
    };
    let (released, made) = tokio::join!(endpoints.release(&paper, is_needed), comes);
    released.unwrap();
    made.unwrap();
    assert_eq!((serving(&servers).await, paper.world().released), (vec![1], 1));
}
