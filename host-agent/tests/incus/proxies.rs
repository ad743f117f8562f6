//! Over a proxy to the real server: both sides are known by their certificates, calls and events go through.

use firstlight::backend::incus::client::Client;
use firstlight::backend::incus::client::endpoint::instance::ListInstances;
use firstlight::backend::incus::client::endpoint::server::ReadServer;
use firstlight::backend::incus::client::link::{Place, Proxy, Server};
use firstlight::backend::link::pin::{Fingerprint, Pin};
use firstlight_tests::rig::incus::IncusServer;

use crate::real::{far_place, settings, trust};
use crate::tls::proxy;

#[tokio::test]
async fn a_real_server_is_reached_over_both_kinds_of_proxies() {
    let server = IncusServer::shared();
    server.project("proxied", &[]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (place, file) = far_place(server, folder.path());
    let (target, mut is_trusted) = (server.address().to_string(), false);
    for (socks, scheme) in [(true, "socks5"), (false, "http")] {
        let (at, asked) = proxy(socks, false).await;
        let through: Proxy = format!("{scheme}://{at}").parse().unwrap();
        let over = |pin: Pin| {
            let server = Server { pin, proxy: Some(through.clone()), ..place.clone() };
            Client::new(settings(Place::Server(server), "proxied")).unwrap()
        };
        let far = over(place.pin.clone());
        let known = far.send(&ReadServer).await.unwrap();
        assert_eq!(known.is_trusted(), is_trusted, "{scheme}");
        if !is_trusted {
            let refused = far.send(&ListInstances::default()).await.unwrap_err();
            assert_eq!(refused.class.to_string(), "denied");
            assert!(far.try_events().await.unwrap_err().contains("403"));
            trust(server, &file, "proxied");
            is_trusted = true;
        }
        assert!(far.send(&ListInstances::default()).await.unwrap().is_empty());
        far.try_events().await.unwrap();
        let wrong = over(Pin::Leaves(vec![Fingerprint::of(b"another")])).send(&ReadServer).await.unwrap_err();
        assert_eq!(wrong.class.to_string(), "never-sent wrong-certificate");
        let asked = asked.lock().unwrap();
        assert!(!asked.is_empty() && asked.iter().all(|line| line.contains(&target)), "{asked:?}");
    }
}
