//! The client against a real server: what it answers, tells, and forgets.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use firstlight::backend::incus::client::call::Limits;
use firstlight::backend::incus::client::endpoint::exec::Exec;
use firstlight::backend::incus::client::endpoint::file::{
    FileKind, LookAtFile, ReadConsole, ReadFile, RemoveFile, WriteFile,
};
use firstlight::backend::incus::client::endpoint::image::{ReadAlias, ReadImage};
use firstlight::backend::incus::client::endpoint::instance::{
    CreateInstance, DeleteInstance, Image, ImportBackup, InstancePut, Kind, ListInstances, PatchInstance,
    ReadInstance, ReplaceInstance,
};
use firstlight::backend::incus::client::endpoint::network::{ListLeases, ReadNetwork};
use firstlight::backend::incus::client::endpoint::operation::Operation;
use firstlight::backend::incus::client::endpoint::project::{ReadProfile, ReadProject, ReadProjectState};
use firstlight::backend::incus::client::endpoint::server::{ReadResources, ReadServer};
use firstlight::backend::incus::client::endpoint::snapshot::{
    ListSnapshots, RemoveSnapshot, RestoreSnapshot, TakeSnapshot,
};
use firstlight::backend::incus::client::endpoint::state::{Action, ChangeState, ReadState};
use firstlight::backend::incus::client::endpoint::storage::{
    CreateVolume, DeleteVolume, ListVolumes, ReadPool, ReadPoolResources, ReadVolume,
};
use firstlight::backend::incus::client::endpoint::{Config, Devices, Endpoint};
use firstlight::backend::incus::client::events::{Events, Told};
use firstlight::backend::incus::client::link::{Address, ClientCertificate, Place, Server};
use firstlight::backend::incus::client::operation::{OperationEnd, OperationId};
use firstlight::backend::incus::client::verdict::Patience;
use firstlight::backend::incus::client::{Client, Settings};
use firstlight::backend::link::pin::Pin;
use firstlight_shared::secret::Secret;
use firstlight_tests::golden::{self, Variant};
use firstlight_tests::paths;
use firstlight_tests::rig::incus::{GOLDEN, IncusServer, TIGHT_POOL};
use rcgen::{CertificateParams, KeyPair};
use tokio::time::Instant;

/// On the shared server, in a project of this test's own.
fn here() -> Client {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let server = IncusServer::shared();
    let project = format!("client-{}", COUNT.fetch_add(1, Ordering::SeqCst));
    server.project(&project, &[]).unwrap();
    Client::new(settings(Place::Socket(server.socket()), &project)).unwrap()
}

pub(crate) fn settings(place: Place, project: &str) -> Settings {
    Settings {
        name: "real".to_owned(),
        place,
        project: project.to_owned(),
        limits: Limits::default(),
        patience: Patience::NONE,
    }
}

pub(crate) fn create(name: &str) -> CreateInstance {
    CreateInstance {
        name: name.to_owned(),
        kind: Kind::Container,
        image: Image::Alias(GOLDEN.to_owned()),
        config: Config::from_iter([("user.firstlight.job", "j1")]),
        devices: Devices::new(),
        profiles: None,
        ephemeral: false,
        description: "of a test".to_owned(),
    }
}

fn change(name: &str, action: Action) -> ChangeState {
    ChangeState { name: name.to_owned(), action, timeout: Some(Duration::from_secs(30)), force: true }
}

async fn end<E: Endpoint<Answer = OperationId>>(client: &Client, endpoint: &E) -> OperationEnd {
    let id = client.send(endpoint).await.unwrap();
    client.follow(&id, Instant::now() + Duration::from_secs(60)).await
}

pub(crate) async fn done<E: Endpoint<Answer = OperationId>>(client: &Client, endpoint: &E) -> Operation {
    match end(client, endpoint).await {
        OperationEnd::Done(operation) => *operation,
        other => panic!("{other:?}"),
    }
}

async fn failed<E: Endpoint<Answer = OperationId>>(client: &Client, endpoint: &E) -> String {
    match end(client, endpoint).await {
        OperationEnd::Failed { class, .. } => class.to_string(),
        other => panic!("{other:?}"),
    }
}

async fn refused<E: Endpoint>(client: &Client, endpoint: &E) -> String
where
    E::Answer: std::fmt::Debug,
{
    client.send(endpoint).await.unwrap_err().class.to_string()
}

/// The lifecycle events about an instance, until this one.
async fn until(events: &mut Events, action: &str, name: &str) -> Vec<String> {
    let mut actions = Vec::new();
    let hear = async {
        while actions.last().map(String::as_str) != Some(action) {
            if let Told::Lifecycle(one) = events.next().await
                && one.instance() == Some(name)
            {
                actions.push(one.action);
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), hear).await.unwrap();
    actions
}

async fn opened(events: &mut Events) {
    while !events.is_open() {
        tokio::time::timeout(Duration::from_secs(20), events.next()).await.unwrap();
    }
}

#[tokio::test]
async fn an_instance_lives_and_dies() {
    let client = here();
    let mut events = client.events();
    opened(&mut events).await;
    let made = done(&client, &create("life-01")).await;
    assert!(made.is_about("life-01") && made.description == "Creating instance", "{made:?}");
    assert_eq!(failed(&client, &create("life-01")).await, "rejected exists");
    let read = client.send(&ReadInstance { name: "life-01".to_owned() }).await.unwrap();
    assert_eq!(read.value.config["user.firstlight.job"], "j1");
    assert!(!read.value.is_running() && read.value.project == client.project());

    files_of_a_stopped_one(&client).await;
    configuration(&client).await;

    done(&client, &change("life-01", Action::Start)).await;
    assert_eq!(failed(&client, &change("life-01", Action::Start)).await, "already-so");
    let told = until(&mut events, "instance-started", "life-01").await;
    assert!(told.contains(&"instance-created".to_owned()), "{told:?}");
    let state = client.send(&ReadState { name: "life-01".to_owned() }).await.unwrap();
    assert!(state.is_running() && state.pid > 0);
    assert!(state.addresses().any(|address| address.is_loopback()), "lo is listed: {state:?}");
    assert_eq!(refused(&client, &DeleteInstance { name: "life-01".to_owned() }).await, "rejected running");
    let full = ListInstances { full: true, ..ListInstances::default() };
    let listed = client.send(&full).await.unwrap();
    assert!(listed.len() == 1 && listed[0].state.as_ref().unwrap().is_running());

    commands(&client).await;
    snapshots(&client).await;

    done(&client, &change("life-01", Action::Stop)).await;
    assert_eq!(failed(&client, &change("life-01", Action::Stop)).await, "already-so");
    done(&client, &DeleteInstance { name: "life-01".to_owned() }).await;
    until(&mut events, "instance-deleted", "life-01").await;
    assert_eq!(refused(&client, &DeleteInstance { name: "life-01".to_owned() }).await, "gone");
    assert_eq!(refused(&client, &ReadState { name: "life-01".to_owned() }).await, "gone");
}

async fn files_of_a_stopped_one(client: &Client) {
    let write = |path: &str, kind, content: &str| WriteFile {
        instance: "life-01".to_owned(),
        path: path.to_owned(),
        kind,
        uid: 5,
        gid: 6,
        mode: if kind == FileKind::Directory { 0o700 } else { 0o400 },
        content: Secret::new(content.as_bytes().to_vec()),
    };
    let read = |path: &str| ReadFile { instance: "life-01".to_owned(), path: path.to_owned(), most: 100 };
    let nowhere = write("/root/age/key", FileKind::File, "x");
    assert_eq!(refused(client, &nowhere).await, "rejected no-guest-file");
    client.send(&write("/root/age", FileKind::Directory, "")).await.unwrap();
    client.send(&write("/root/age/key", FileKind::File, "secret")).await.unwrap();
    client.send(&write("/root/age/link", FileKind::Symlink, "/root/age/key")).await.unwrap();
    let file = client.send(&read("/root/age/key")).await.unwrap();
    assert_eq!((file.uid, file.gid, file.mode, &file.content[..]), (5, 6, 0o400, &b"secret"[..]));
    let link = client.send(&read("/root/age/link")).await.unwrap();
    assert_eq!((link.kind, &link.content[..]), (FileKind::Symlink, &b"/root/age/key"[..]));
    let folder = ReadFile { most: 1000, ..read("/root/age") };
    assert_eq!(client.send(&folder).await.unwrap().kind, FileKind::Directory);
    assert_eq!(refused(client, &ReadFile { most: 3, ..read("/root/age/key") }).await, "rejected too-large");
    assert_eq!(refused(client, &read("/nope")).await, "rejected no-guest-file");
    let kind = async |path: &str| {
        let look = LookAtFile { instance: "life-01".to_owned(), path: path.to_owned() };
        client.send(&look).await.map_err(|error| error.class.to_string())
    };
    assert_eq!(kind("/root/age").await, Ok(FileKind::Directory));
    assert_eq!(kind("/root/age/key").await, Ok(FileKind::File));
    assert_eq!(kind("/root/age/link").await, Ok(FileKind::Symlink));
    for nothing in ["/nope", "/nope/key"] {
        assert_eq!(kind(nothing).await, Err("gone".to_owned()), "{nothing}");
    }
    // Why a secret's path is looked at first: a file that is there keeps its mode, and a link is followed.
    let open = WriteFile { mode: 0o600, ..write("/root/age/link", FileKind::File, "other") };
    client.send(&open).await.unwrap();
    let file = client.send(&read("/root/age/key")).await.unwrap();
    assert_eq!((file.mode, &file.content[..]), (0o400, &b"other"[..]));
    let remove = RemoveFile { instance: "life-01".to_owned(), path: "/root/age/key".to_owned() };
    client.send(&remove).await.unwrap();
    assert_eq!(refused(client, &remove).await, "rejected no-guest-file");
}

async fn configuration(client: &Client) {
    let name = "life-01".to_owned();
    let replace = |put: InstancePut, etag| ReplaceInstance { name: name.clone(), put, etag };
    let set = |key: &str, value: &str| PatchInstance {
        name: name.clone(),
        config: Config::from_iter([(key, value)]),
        ..PatchInstance::default()
    };
    client.send(&set("user.firstlight.claim", "hunter2")).await.unwrap();
    let read = client.send(&ReadInstance { name: name.clone() }).await.unwrap();
    assert_eq!(read.value.config["user.firstlight.claim"], "hunter2");
    client.send(&set("user.firstlight.claim", "")).await.unwrap();
    let later = client.send(&ReadInstance { name: name.clone() }).await.unwrap();
    assert!(!later.value.config.contains_key("user.firstlight.claim"), "an empty value takes it away");
    assert_eq!(later.value.config["user.firstlight.job"], "j1", "and nothing else");
    // What changed between reading and writing.
    let stale = replace(read.value.into(), read.etag.clone());
    assert_eq!(refused(client, &stale).await, "rejected changed-meanwhile");
    let stale = PatchInstance { etag: read.etag, ..set("user.x", "1") };
    assert_eq!(refused(client, &stale).await, "rejected changed-meanwhile");
    done(client, &replace(later.value.into(), later.etag)).await;
    assert_eq!(refused(client, &set("limits.memory", "lots")).await, "rejected invalid-request");
}

async fn commands(client: &Client) {
    let exec = |command: &[&str]| Exec {
        instance: "life-01".to_owned(),
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        ..Exec::default()
    };
    let deadline = || Instant::now() + Duration::from_secs(30);
    let script = exec(&["sh", "-c", "echo out; echo err >&2; exit 3"]);
    let ran = client.exec(&script, 100, deadline()).await.unwrap();
    assert_eq!((ran.status, &ran.stdout[..], &ran.stderr[..]), (Some(3), &b"out\n"[..], &b"err\n"[..]));
    let much = client.exec(&exec(&["seq", "100000"]), 1000, deadline()).await.unwrap();
    assert_eq!((much.status, much.stdout.len()), (Some(0), 1000));
    let killed = client.exec(&exec(&["sh", "-c", "kill -9 $$"]), 100, deadline()).await.unwrap();
    assert_eq!(killed.status, Some(137));
    let error = client.exec(&exec(&["/nope"]), 100, deadline()).await.unwrap_err();
    assert_eq!(error.class.to_string(), "rejected no-command");
    let slow = Instant::now() + Duration::from_millis(300);
    let error = client.exec(&exec(&["sleep", "5"]), 100, slow).await.unwrap_err();
    assert_eq!(error.class.to_string(), "maybe-applied");
    let console = client.send(&ReadConsole { instance: "life-01".to_owned() }).await.unwrap();
    assert!(String::from_utf8_lossy(&console).contains("systemd"), "{} bytes", console.len());
}

async fn snapshots(client: &Client) {
    let (instance, name) = ("life-01".to_owned(), "before".to_owned());
    let take = TakeSnapshot { instance: instance.clone(), name: name.clone() };
    done(client, &take).await;
    assert_eq!(failed(client, &take).await, "rejected exists");
    let listed = client.send(&ListSnapshots { instance: instance.clone() }).await.unwrap();
    assert_eq!(listed.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["before"]);
    done(client, &RestoreSnapshot { instance: instance.clone(), name: name.clone() }).await;
    let nope = RestoreSnapshot { instance: instance.clone(), name: "nope".to_owned() };
    assert_eq!(failed(client, &nope).await, "rejected no-snapshot");
    let remove = RemoveSnapshot { instance, name };
    done(client, &remove).await;
    assert_eq!(refused(client, &remove).await, "gone");
}

#[tokio::test]
async fn what_a_server_has_is_read() {
    let client = here();
    let server = client.send(&ReadServer).await.unwrap();
    assert!(server.is_trusted() && server.auth_user_method == "unix" && !server.environment.server_clustered);
    assert!(server.has("instance_ready_state") && !server.has("nope"));
    assert!(client.send(&ReadResources { member: None }).await.unwrap().memory.total > 1 << 30);
    let alias = client.send(&ReadAlias { name: GOLDEN.to_owned() }).await.unwrap();
    let image = client.send(&ReadImage { fingerprint: alias.target.clone() }).await.unwrap();
    assert_eq!((image.fingerprint, image.kind), (alias.target, Kind::Container));
    assert_eq!(refused(&client, &ReadAlias { name: "nope".to_owned() }).await, "gone");
    assert_eq!(refused(&client, &ReadImage { fingerprint: "abcdef012345".to_owned() }).await, "gone");
    let project = client.send(&ReadProject { name: client.project().to_owned() }).await.unwrap();
    assert_eq!(project.config["features.images"], "false");
    let state = client.send(&ReadProjectState { name: client.project().to_owned() }).await.unwrap();
    assert_eq!((state.resources["memory"].limit, state.resources["instances"].usage), (-1, 0));
    let profile = client.send(&ReadProfile { name: "default".to_owned() }).await.unwrap();
    let nic = profile.devices.values().find(|device| device["type"] == "nic").unwrap();
    let network = nic.get("network").or_else(|| nic.get("parent")).unwrap().clone();
    let found = client.send(&ReadNetwork { name: network.clone() }).await.unwrap();
    assert_eq!((found.kind.as_str(), found.managed), ("bridge", true));
    let leases = client.send(&ListLeases { network }).await.unwrap();
    assert!(leases.iter().all(|lease| !lease.address.is_empty()), "{leases:?}");
    let pool = client.send(&ReadPool { name: "default".to_owned() }).await.unwrap();
    assert_eq!(pool.status, "Created");
    let space = client.send(&ReadPoolResources { pool: "default".to_owned() }).await.unwrap().space;
    assert!(space.total > space.used, "{space:?}");
}

#[tokio::test]
async fn volumes_are_made_and_removed() {
    let client = here();
    let pool = "default".to_owned();
    let volume = CreateVolume {
        pool: pool.clone(),
        name: "data".to_owned(),
        config: Config::from_iter([("user.firstlight.job", "j1")]),
    };
    client.send(&volume).await.unwrap();
    assert_eq!(refused(&client, &volume).await, "rejected exists");
    let listed = client.send(&ListVolumes { pool: pool.clone() }).await.unwrap();
    assert_eq!(listed.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["data"]);
    let read = client.send(&ReadVolume { pool: pool.clone(), name: "data".to_owned() }).await.unwrap();
    assert_eq!(read.value.config["user.firstlight.job"], "j1");
    let delete = DeleteVolume { pool: pool.clone(), name: "data".to_owned() };
    client.send(&delete).await.unwrap();
    assert_eq!(refused(&client, &delete).await, "gone");
    assert_eq!(
        refused(&client, &CreateVolume { pool: "nope".to_owned(), ..volume }).await,
        "rejected no-pool"
    );
}

#[tokio::test]
async fn what_cannot_be_made_says_why() {
    let client = here();
    let disk = |pool: &str| {
        let keys = [("type", "disk"), ("path", "/"), ("pool", pool)];
        let keys = keys.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Devices::from([("root".to_owned(), keys.into())])
    };
    let nope = Image::Alias("nope".to_owned());
    assert_eq!(failed(&client, &CreateInstance { image: nope, ..create("a") }).await, "rejected no-image");
    let elsewhere = CreateInstance { devices: disk("nope"), ..create("a") };
    assert_eq!(failed(&client, &elsewhere).await, "rejected no-pool");
    let tight = CreateInstance { devices: disk(TIGHT_POOL), ..create("a") };
    assert_eq!(failed(&client, &tight).await, "rejected pool-full");
    let profile = CreateInstance { profiles: Some(vec!["nope".to_owned()]), ..create("a") };
    assert_eq!(refused(&client, &profile).await, "rejected no-profile");
    let machine = CreateInstance { kind: Kind::VirtualMachine, ..create("a") };
    assert!(matches!(end(&client, &machine).await, OperationEnd::Failed { .. }));
    assert_eq!(refused(&client.in_project("nope"), &create("a")).await, "rejected no-project");
    assert_eq!(refused(&client.on_member(Some("node2")), &create("a")).await, "rejected no-member");
    assert!(client.send(&ListInstances::default()).await.unwrap().is_empty(), "nothing of them is left");
}

#[tokio::test]
async fn an_exported_instance_comes_back_under_another_name() {
    let client = here();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web-01.tar.gz");
    done(&client, &create("web-01")).await;
    let server = IncusServer::shared();
    let words =
        ["export", "--project", client.project(), "web-01", file.to_str().unwrap(), "--compression", "none"];
    server.must(&words).unwrap();
    let length = std::fs::metadata(&file).unwrap().len();
    let import = ImportBackup { name: "web-02".to_owned(), pool: None, file: file.clone(), length };
    done(&client, &import).await;
    let read = client.send(&ReadInstance { name: "web-02".to_owned() }).await.unwrap();
    assert_eq!(read.value.config["user.firstlight.job"], "j1", "it has the stamp of the other");
    std::fs::write(&file, b"no backup").unwrap();
    let broken = ImportBackup { name: "web-03".to_owned(), pool: None, file, length: 9 };
    assert_eq!(refused(&client, &broken).await, "rejected invalid-request");
    for name in ["web-01", "web-02"] {
        done(&client, &DeleteInstance { name: name.to_owned() }).await;
    }
}

/// The server over HTTPS, pinned, with a new certificate of ours, which is in the file.
pub(crate) fn far_place(server: &IncusServer, folder: &Path) -> (Server, PathBuf) {
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["firstlight".to_owned()]).unwrap().self_signed(&key).unwrap();
    let file = folder.join("client.crt");
    std::fs::write(&file, certificate.pem()).unwrap();
    let secret = Secret::new(key.serialize_pem().into_bytes());
    let ours = ClientCertificate::parse(certificate.pem().as_bytes(), &secret).unwrap();
    let pin = Pin::servers(&std::fs::read(server.certificate()).unwrap()).unwrap();
    let address = server.address();
    let address = Address { host: address.ip().to_string(), port: address.port() };
    (Server { address, pin, certificate: ours, proxy: None }, file)
}

/// For this project alone.
pub(crate) fn trust(server: &IncusServer, file: &Path, project: &str) {
    let file = file.to_str().unwrap();
    server
        .must(&["config", "trust", "add-certificate", file, "--restricted", "--projects", project])
        .unwrap();
}

#[tokio::test]
async fn a_restricted_certificate_sees_its_project_and_no_other() {
    let server = IncusServer::shared();
    let local = here();
    let project = local.project().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let (place, file) = far_place(server, folder.path());
    let far = Client::new(settings(Place::Server(place.clone()), &project)).unwrap();

    let stranger = far.send(&ReadServer).await.unwrap();
    assert!(!stranger.is_trusted());
    assert_eq!(refused(&far, &ListInstances::default()).await, "denied");

    trust(server, &file, &project);
    assert!(far.send(&ReadServer).await.unwrap().is_trusted());
    assert!(far.send(&ListInstances::default()).await.unwrap().is_empty());
    done(&far, &create("web-01")).await;
    let mut events = far.events();
    opened(&mut events).await;
    done(&far, &DeleteInstance { name: "web-01".to_owned() }).await;
    until(&mut events, "instance-deleted", "web-01").await;
    let elsewhere = far.in_project("default");
    assert_eq!(refused(&elsewhere, &ListInstances::default()).await, "denied");
    assert_eq!(refused(&elsewhere, &ReadInstance { name: "x".to_owned() }).await, "denied");
    assert_eq!(refused(&elsewhere, &create("web-01")).await, "denied");

    let other = KeyPair::generate().unwrap();
    let other = CertificateParams::new(vec!["incus".to_owned()]).unwrap().self_signed(&other).unwrap();
    let pin = Pin::servers(other.pem().as_bytes()).unwrap();
    let wrong = Client::new(settings(Place::Server(Server { pin, ..place }), &project)).unwrap();
    assert_eq!(refused(&wrong, &ReadServer).await, "never-sent wrong-certificate");
}

#[tokio::test]
async fn a_server_that_dies_is_waited_for_and_what_it_forgot_is_unknown() {
    // One of its own: the others go on meanwhile.
    let golden = golden::archive(&paths::given(paths::GOLDENS_VARIABLE), Variant::Dhcp);
    let server = IncusServer::start(&[(GOLDEN, &golden)]).unwrap();
    let client = Client::new(settings(Place::Socket(server.socket()), "default")).unwrap();
    let mut events = client.events();
    opened(&mut events).await;
    done(&client, &create("web-01")).await;
    done(&client, &change("web-01", Action::Start)).await;
    let sleep = Exec {
        instance: "web-01".to_owned(),
        command: vec!["sleep".to_owned(), "60".to_owned()],
        ..Exec::default()
    };
    let id = client.send(&sleep).await.unwrap();
    let found = client.operations_on("web-01").await.unwrap();
    let at_work: Vec<_> = found.iter().filter(|one| !one.has_ended()).map(|one| &one.id).collect();
    assert_eq!(at_work, [&id], "what ended just now is listed too");
    let following = tokio::spawn({
        let (client, id) = (client.clone(), id.clone());
        async move { client.follow(&id, Instant::now() + Duration::from_secs(50)).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.kill().unwrap();
    assert_eq!(refused(&client, &ReadServer).await, "never-sent unreachable");
    assert!(!following.is_finished(), "a server that is away has forgotten nothing yet");
    server.start_again().unwrap();
    assert!(matches!(following.await.unwrap(), OperationEnd::Unknown { .. }));
    // The socket is there again, and says what may have been missed.
    while !matches!(tokio::time::timeout(Duration::from_secs(20), events.next()).await.unwrap(), Told::Missed)
    {
    }
    opened(&mut events).await;
    done(&client, &change("web-01", Action::Stop)).await;
    until(&mut events, "instance-stopped", "web-01").await;
    done(&client, &DeleteInstance { name: "web-01".to_owned() }).await;
}
