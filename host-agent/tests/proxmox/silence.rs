//! A cluster of which nobody answers: it is told at once what is waited for, soon that nothing came, and of each address why.

use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::{Duration, Instant};

use firstlight_tests::simpve::example::CONTAINER_GOLDEN;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Command;

use crate::field::{Companion, Place};
use crate::operator::{Operator, world};

/// Everything that is asked interactively ends within this: connections are waited for 3 s, side by side; the rest is for
/// a busy machine.
const LONGEST: Duration = Duration::from_secs(40);

/// Takes connections and never says a word.
fn silent() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

struct Silence {
    operator: Operator,
    addresses: Vec<String>,
    _held: Vec<TcpListener>,
}

impl Silence {
    /// Three addresses: two are silent, on one nobody listens.
    fn new() -> Self {
        let operator = Operator::of(world(1));
        let (held, mut addresses): (Vec<_>, Vec<_>) = [silent(), silent()].into_iter().unzip();
        let (gone, nobody) = silent();
        drop(gone);
        addresses.push(nobody);
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let text = std::fs::read_to_string(operator.path("firstlight.toml")).unwrap();
        let known = format!("{:?}", operator.address("pve1"));
        let all = addresses.iter().map(|address| format!("{address:?}")).collect::<Vec<_>>().join(", ");
        std::fs::write(operator.path("firstlight.toml"), text.replace(&known, &all)).unwrap();
        Self { operator, addresses, _held: held }
    }

    /// What was said, by a run that ends with this code.
    async fn run(&self, words: &[&str], code: i32) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_firstlight"));
        command.args(words).arg("--config").arg(self.operator.path("firstlight.toml"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let began = Instant::now();
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let first = lines.next_line().await.unwrap().unwrap_or_default();
        // Before anything has failed.
        assert!(!first.starts_with("error: "), "{words:?}: it says what it waits for: {first}");
        let mut said = first;
        while let Some(line) = lines.next_line().await.unwrap() {
            said += &format!("\n{line}");
        }
        let mut out = String::new();
        child.stdout.take().unwrap().read_to_string(&mut out).await.unwrap();
        let status = child.wait().await.unwrap();
        assert!(began.elapsed() < LONGEST, "{words:?} took {:?}: {said}", began.elapsed());
        assert_eq!(status.code(), Some(code), "{words:?}: {said}");
        said + &out
    }

    fn assert_told(&self, said: &str) {
        for address in &self.addresses {
            assert!(said.contains(address), "{address} is not told of: {said}");
        }
        assert!(said.contains("does not answer within 3s") && said.contains("Connection refused"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_a_silent_cluster_soon_knows_of_each_address_why() {
    let silence = Silence::new();
    let golden = format!("golden = {CONTAINER_GOLDEN:?}\n");
    let guests = "[[guest]]\nname = \"web-{n}\"\ncount = 50\nbackend = \"proxmox\"\n";
    let spec = silence.operator.spec(&format!("{guests}{golden}"));
    silence.assert_told(&silence.run(&["doctor"], 1).await);
    silence.assert_told(&silence.run(&["plan", &spec], 4).await);
    silence.assert_told(&silence.run(&["up", &spec], 4).await);
    let said = silence.run(&["trust", &silence.addresses[0]], 4).await;
    assert!(said.contains("connecting to") && said.contains("does not answer in time"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_companion_that_hears_nothing_tells_who_waits() {
    let silence = Silence::new();
    let proxmox = format!("addresses = {:?}\nca = {:?}", silence.addresses, silence.operator.path("ca.pem"));
    let place = Place::new(&proxmox, "firstlight@pve!host=00000000-1111-2222-3333-444444444444", "info");
    let _companion = Companion::start(&place).await;
    std::fs::copy(place.path("firstlight.toml"), silence.operator.path("firstlight.toml")).unwrap();
    silence.assert_told(&silence.run(&["wait", "--backend", "proxmox", "--vmid", "101"], 4).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_silent_address_of_several_keeps_nobody_waiting() {
    let operator = Operator::of(world(1));
    let (_held, address) = silent();
    let text = std::fs::read_to_string(operator.path("firstlight.toml")).unwrap();
    let first = text.replace("addresses = [", &format!("addresses = [\"{address}\", "));
    std::fs::write(operator.path("firstlight.toml"), first).unwrap();
    let golden = format!("golden = {CONTAINER_GOLDEN:?}\n");
    let spec = operator.spec(&format!("[[guest]]\nname = \"web-01\"\nbackend = \"proxmox\"\n{golden}"));
    let mut fastest = Duration::MAX;
    // A silent address that is waited for costs 3 s each time, a busy machine only now and then.
    for _ in 0..10 {
        let began = Instant::now();
        operator.run(&["plan", &spec]).await.ends_with(0);
        fastest = fastest.min(began.elapsed());
        if fastest < Duration::from_secs(3) {
            return;
        }
    }
    panic!("{fastest:?} at best");
}
