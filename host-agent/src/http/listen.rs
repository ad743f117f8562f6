//! Serves the API on the control socket and over TLS. The report listener is another one: see `reports`.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Method};
use firstlight_shared::text::escape;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::auth::Caller;
use super::gate::{Asker, Gate, Policy, no_place};
use super::places::{LocalPlaces, RemotePlaces, Standing, Standpoint};

/// For the handshake, and for the head of each request.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a connection may take to end when it is told to.
const FAREWELL: Duration = Duration::from_secs(3);
const MAX_HEAD: usize = 64 * 1024;

/// Answers on the control socket until `closing`.
pub async fn serve_socket(listener: UnixListener, gate: Gate) {
    let places = LocalPlaces::new();
    let accept = || async { listener.accept().await.map(|(stream, _)| stream) };
    let serve = |stream| serve_peer(stream, gate.clone(), places.clone());
    accept_all(accept, gate.closing.clone(), serve).await;
}

/// Answers over TLS until `closing`.
pub async fn serve_tls(listener: TcpListener, gate: Gate) {
    let places = RemotePlaces::new();
    let accept = || async {
        let place = places.next().await?;
        listener.accept().await.map(|(stream, peer)| (stream, peer.ip().to_canonical(), place))
    };
    let serve = |(stream, address, place)| {
        let (standpoint, gate) = (places.enter(address, place), gate.clone());
        async move {
            if let Some(standpoint) = standpoint {
                serve_remote(stream, address, gate, standpoint).await;
            }
        }
    };
    accept_all(accept, gate.closing.clone(), serve).await;
}

/// The loop of both.
async fn accept_all<S, A, H>(
    accept: impl Fn() -> A,
    mut closing: watch::Receiver<bool>,
    serve: impl Fn(S) -> H,
) where
    A: Future<Output = std::io::Result<S>>,
    H: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            _ = closing.wait_for(|closing| *closing) => break,
            accepted = accept() => accepted,
        };
        match accepted {
            Ok(stream) => {
                connections.spawn(serve(stream));
            }
            Err(error) => {
                // Out of file descriptors, for one: give the others time to end.
                tracing::warn!(%error, "no connection accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    // They hear of it too; whoever does not end in time is dropped.
    while connections.join_next().await.is_some() {}
}

async fn serve_peer(stream: UnixStream, gate: Gate, places: LocalPlaces) {
    let (uid, gid) = match stream.peer_cred() {
        Ok(peer) => (peer.uid(), peer.gid()),
        Err(error) => return tracing::warn!(%error, "the kernel does not say who asks"),
    };
    let obeys = |gids: &[u32]| gate.policy.borrow().access.obeys(uid, gids);
    let peers = gate.policy.borrow().access.peers.clone();
    let mut gids = vec![gid];
    if !obeys(&gids) && !peers.gids.is_empty() {
        let Some(_place) = places.look_up(uid) else { return places.tell_closed(uid) };
        // The account database may be slow to answer.
        gids = tokio::task::spawn_blocking(move || groups(uid, gid)).await.unwrap_or_else(|_| vec![gid]);
    }
    let standing = match obeys(&gids) {
        _ if uid == 0 || uid == peers.own_uid => Standing::Own,
        true => Standing::Obeyed,
        false => Standing::Stranger,
    };
    let Some(_place) = places.take(uid, standing).await else { return places.tell_closed(uid) };
    let served = serve_one(stream, Caller::Peer { uid, gids }, None, gate, None);
    if standing != Standing::Stranger {
        served.await;
    } else if tokio::time::timeout(PATIENCE, served).await.is_err() {
        tracing::debug!(uid, "a user who is not obeyed took too long");
    }
}

/// The groups of a user by the account database; the kernel tells the primary one only.
fn groups(uid: u32, gid: u32) -> Vec<u32> {
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)).ok().flatten();
    let name = user.and_then(|user| std::ffi::CString::new(user.name).ok());
    let groups = name.and_then(|name| nix::unistd::getgrouplist(&name, nix::unistd::Gid::from_raw(gid)).ok());
    let mut all = vec![gid];
    all.extend(groups.into_iter().flatten().map(nix::unistd::Gid::as_raw));
    all
}

async fn serve_remote(stream: TcpStream, address: IpAddr, gate: Gate, standpoint: Standpoint) {
    let Some(tls) = gate.policy.borrow().tls.clone() else { return };
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%address, %error, "TCP_NODELAY refused");
    }
    let stream = match tokio::time::timeout(PATIENCE, TlsAcceptor::from(tls.config).accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%address, %error, "no TLS"),
        Err(_) => return tracing::debug!(%address, "the TLS handshake took too long"),
    };
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let certificate = shown.map(|certificate| common_name(certificate));
    let caller = Caller::Remote { certificate };
    let is_known = gate.policy.borrow().access.decide(&caller, None, &Method::GET).is_ok();
    if is_known && !standpoint.prove() {
        return;
    }
    serve_one(stream, caller, Some(address), gate, Some(standpoint)).await;
}

/// Of a certificate that was verified; without a common name nothing is known by it.
fn common_name(certificate: &[u8]) -> String {
    let parsed = x509_parser::parse_x509_certificate(certificate);
    let name = parsed.ok().and_then(|(_, parsed)| {
        let name = parsed.subject().iter_common_name().next()?;
        name.as_str().ok().map(|name| escape(name, 100))
    });
    name.unwrap_or_default()
}

/// Whoever has not proved to be let in gets one answer.
async fn serve_one<S>(
    stream: S,
    caller: Caller,
    address: Option<IpAddr>,
    gate: Gate,
    standpoint: Option<Standpoint>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut policy, mut closing) = (gate.policy.clone(), gate.closing.clone());
    policy.mark_unchanged();
    let service = hyper::service::service_fn(move |request| {
        let (gate, caller, standpoint) = (gate.clone(), caller.clone(), standpoint.clone());
        async move {
            let (mut response, asker) = gate.answer(request, &caller, address).await;
            let stays = match (&standpoint, &caller) {
                (Some(standpoint), _) if asker == Asker::Streams => {
                    if !standpoint.stream() {
                        response = no_place();
                    }
                    // Its place is given back when the stream ends.
                    false
                }
                (Some(standpoint), _) if asker == Asker::Proven => standpoint.prove(),
                (Some(standpoint), _) => standpoint.is_proven(),
                (None, Caller::Peer { uid, gids }) => gate.policy.borrow().access.obeys(*uid, gids),
                (None, Caller::Remote { .. }) => false,
            };
            if !stays {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_header_size(MAX_HEAD)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => Ok(served),
        () = told_to_end(&mut policy, &mut closing) => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(FAREWELL, connection).await
        }
    };
    if let Ok(Err(error)) = served {
        tracing::debug!(?address, %error, "API connection ended");
    }
}

/// The companion stops, or who is let in has changed: then everybody comes in anew.
async fn told_to_end(policy: &mut watch::Receiver<Arc<Policy>>, closing: &mut watch::Receiver<bool>) {
    tokio::select! {
        _ = policy.changed() => {}
        _ = closing.wait_for(|closing| *closing) => {}
    }
}
