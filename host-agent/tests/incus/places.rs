//! What is asked of a guest's own place, and not of the usual one.

use firstlight::backend::incus::client::endpoint::instance::DeleteInstance;
use firstlight::backend::incus::client::link::Place as Way;
use firstlight::backend::incus::client::{Client, Settings};
use firstlight::backend::incus::{Defaults, Incus, IncusConfig};
use firstlight::backend::link::Reports;
use firstlight::backend::{Backend as _, Place};
use firstlight_tests::rig::incus::IncusServer;

use crate::real::{create, done, far_place, settings, trust};

#[tokio::test]
async fn names_and_addresses_for_reports_are_those_of_the_guests_place() {
    let server = IncusServer::shared();
    for project in ["here", "there"] {
        server.project(project, &[]).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let (place, file) = far_place(server, folder.path());
    trust(server, &file, "there");
    let local = settings(Way::Socket(server.socket()), "here");
    let far = Settings { name: "far".to_owned(), ..settings(Way::Server(place), "there") };
    let client = Client::new(far.clone()).unwrap();
    done(&client, &create("web-01")).await;

    let reports = Reports { url: None, port: 7443 };
    let incus = Incus::new(IncusConfig { remotes: vec![local, far], defaults: Defaults::default(), reports })
        .unwrap();
    let (usual, other) = (Place::default(), Place { remote: Some("far".to_owned()), ..Place::default() });
    let project = Place { project: Some("there".to_owned()), ..Place::default() };
    let name = "web-01".parse().unwrap();
    assert_eq!(incus.namesake(&name, &usual).await.unwrap(), None, "a project has names of its own");
    for taken in [&other, &project] {
        let whose = incus.namesake(&name, taken).await.unwrap().unwrap();
        assert!(whose.contains("project there") && whose.contains("stamp of job j1"), "{whose}");
    }
    // Over the socket the server's address on the guests' network; else ours towards the server.
    let told = incus.prepare().await.unwrap().url;
    assert_eq!(told, format!("https://{}:7443", server.address().ip()));
    assert_eq!(incus.report_url(&usual, told.clone()).await.unwrap(), told);
    let over = incus.report_url(&other, told.clone()).await.unwrap();
    assert_eq!(over, format!("https://{}:7443", server.gateway()));
    done(&client, &DeleteInstance { name: "web-01".to_owned() }).await;
}
