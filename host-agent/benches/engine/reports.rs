//! The intake of reports: TLS, proof, one durable row for each, and the wake-up of whoever waits. The guests are played
//! beside it, on the same cores; their reports were signed before.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use firstlight::http::serve_reports;
use firstlight::intake::Intake;
use firstlight::store::Store;
use firstlight_shared::ids::MacAddress;
use firstlight_shared::secret::Secret;
use firstlight_shared::wire::Claim;
use tokio::net::TcpListener;

use crate::percentile::percentile;
use crate::report::Guest;
use crate::{bare, load};
use firstlight_tests::figures::{Row, Table};

const RATE: f64 = 2000.0;
const P99: f64 = 50.0;

pub(crate) async fn measure(count: usize, table: &mut Table) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("firstlight.db")).await.unwrap();
    let mut reports = prepare(&store, count).await;
    let address = serve(&store).await;

    let rest = reports.split_off(count * 2 / 3);
    let taken = reports.len();
    let (_, whole) = load::send(address, reports, None).await;
    let rate = taken as f64 / whole.as_secs_f64();
    let commits = 2000;
    let bare = f64::from(commits) / bare::commits(folder.path(), commits as usize).await.as_secs_f64();
    table.add(Row {
        figure: format!("signed reports taken in, kept-alive TLS connections ({taken} reports)"),
        ours: format!("{rate:.0}/s"),
        beside: format!("sqlx: {bare:.0} bare durable commits/s"),
        aim: ">= 2000/s".into(),
        met: Some(rate >= RATE),
    });

    // At half of what is possible, or at half of what is wanted if that is more.
    let half = (rate / 2.0).max(RATE / 2.0);
    let sent = rest.len();
    let (took, _) = load::send(address, rest, Some(half)).await;
    let (median, late) = (percentile(&took, 0.5), percentile(&took, 0.99));
    table.add(Row {
        figure: format!("a report's answer at half of that rate ({sent} reports, from when each is due)"),
        ours: format!("p50 {median:.1} ms, p99 {late:.1} ms"),
        beside: format!("{half:.0} reports/s"),
        aim: "p99 <= 50 ms".into(),
        met: Some(late <= P99),
    });

    let handshakes = load::handshakes(address, Duration::from_secs(3)).await;
    table.add(Row {
        figure: "TLS handshakes with the report listener, both ends on these cores".to_owned(),
        ours: format!("{handshakes:.0}/s"),
        beside: String::new(),
        aim: "(printed apart)".into(),
        met: None,
    });
    store.close().await;
}

/// Claims in the store, and a report for each.
async fn prepare(store: &Store, count: usize) -> Vec<String> {
    eprintln!("signing {count} reports");
    let mut making = tokio::task::JoinSet::new();
    for worker in 0..32 {
        let store = store.clone();
        making.spawn(async move {
            for number in (worker..count).step_by(32) {
                let claim = claim(number);
                let secret = claim.secret.clone().unwrap();
                store.claim_for(&format!("job-{number}"), &name(number), &claim.id, &secret).await.unwrap();
            }
        });
    }
    making.join_all().await;
    let half = count / 2;
    let other = tokio::task::spawn_blocking(move || (half..count).map(report).collect::<Vec<_>>());
    let mut reports =
        tokio::task::spawn_blocking(move || (0..half).map(report).collect::<Vec<_>>()).await.unwrap();
    reports.extend(other.await.unwrap());
    reports
}

fn name(number: usize) -> String {
    format!("guest-{number}")
}

fn claim(number: usize) -> Claim {
    Claim::new(format!("claim-{number}"), Some(Secret::new(vec![7; 32])))
}

fn report(number: usize) -> String {
    let [_, a, b, c] = u32::try_from(number).unwrap().to_be_bytes();
    let guest = Guest {
        name: name(number),
        mac: MacAddress::local([2, 0, 0], [a, b, c]),
        address: std::net::IpAddr::from([10, a, b, c]),
    };
    guest.report(Some(&claim(number)))
}

/// The companion's own listener on this store, and nothing else of a companion.
async fn serve(store: &Store) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let intake = Intake::new(store.clone());
    tokio::spawn(serve_reports(listener, certificate(), intake, Arc::default(), 8));
    address
}

fn certificate() -> Arc<rustls::ServerConfig> {
    let made = rcgen::generate_simple_self_signed(["firstlight".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into());
    Arc::new(config.unwrap())
}
