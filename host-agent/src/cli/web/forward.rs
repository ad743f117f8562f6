//! Passes pages, and nothing else, from 127.0.0.1 to the companion. Whoever connects is nobody to the companion until it
//! has signed in: this program lends nobody its own rights.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, TRANSFER_ENCODING, UPGRADE,
};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::super::client::Client;
use super::super::failure::{Exit, Failure};
use crate::http::visit::PAGES;

/// Of a browser's requests; forms are small.
const BODY_LIMIT: usize = 64 << 10;
/// Connections at once: other programs of this machine may come, too.
const CONNECTIONS: usize = 64;
const PATIENCE: Duration = Duration::from_secs(10);

type Answer = Response<BoxBody<Bytes, hyper::Error>>;

#[derive(Debug)]
pub(super) struct Forward {
    listener: TcpListener,
    address: SocketAddr,
}

/// Port 0: any that is free.
pub(super) async fn listen(port: u16) -> Result<Forward, Failure> {
    let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let failed = |error: std::io::Error| {
        Failure::new(Exit::Environment, format!("{wanted} cannot be listened on: {error}"))
            .hint("name another port with --port, or none")
    };
    let listener = TcpListener::bind(wanted).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Forward { listener, address })
}

impl Forward {
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Until it is dropped.
    pub(super) async fn serve(self, client: Client) -> Result<(), Failure> {
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            if connections.len() >= CONNECTIONS {
                connections.join_next().await;
                continue;
            }
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    connections.spawn(one(stream, client.clone(), self.address));
                }
                // Out of file descriptors, for one.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

async fn one(stream: TcpStream, client: Client, address: SocketAddr) {
    let service = hyper::service::service_fn(move |request| {
        let client = client.clone();
        async move { Ok::<_, Infallible>(pass(&client, address, request).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    // A browser that went away is no error of ours.
    let _ = served.await;
}

async fn pass(client: &Client, address: SocketAddr, request: Request<Incoming>) -> Answer {
    if let Err((status, why)) = may_pass(request.headers(), request.uri().path(), address) {
        return refuse(status, why);
    }
    let (head, body) = request.into_parts();
    let Ok(Ok(body)) = tokio::time::timeout(PATIENCE, Limited::new(body, BODY_LIMIT).collect()).await else {
        return refuse(StatusCode::BAD_REQUEST, "the request is too large, or broke off");
    };
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut onward = Request::builder().method(head.method).uri(target);
    for (name, value) in head.headers.iter().filter(|(name, _)| is_for_both(name)) {
        onward = onward.header(name, value);
    }
    let Ok(onward) = onward.body(Full::new(body.to_bytes())) else {
        return refuse(StatusCode::BAD_REQUEST, "the request cannot be passed on");
    };
    match client.pass(onward).await {
        Ok(response) => {
            let (mut head, body) = response.into_parts();
            for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE] {
                head.headers.remove(name);
            }
            Response::from_parts(head, body.boxed())
        }
        Err(_) => refuse(StatusCode::BAD_GATEWAY, "the companion does not answer"),
    }
}

/// Pages only, and only for who called us by our own name: a name of somebody else that leads here (DNS rebinding) does not.
fn may_pass(headers: &HeaderMap, path: &str, address: SocketAddr) -> Result<(), (StatusCode, &'static str)> {
    let port = address.port();
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if host != format!("127.0.0.1:{port}") && host != format!("localhost:{port}") {
        return Err((StatusCode::MISDIRECTED_REQUEST, "this is not the address of the pages"));
    }
    let is_page =
        path == "/" || path == PAGES || path.strip_prefix(PAGES).is_some_and(|rest| rest.starts_with('/'));
    if is_page { Ok(()) } else { Err((StatusCode::NOT_FOUND, "only the pages are passed on")) }
}

fn is_for_both(name: &HeaderName) -> bool {
    ![AUTHORIZATION, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE].contains(name)
}

fn refuse(status: StatusCode, why: &'static str) -> Answer {
    let body = Full::new(Bytes::from_static(why.as_bytes())).map_err(|never| match never {});
    let mut response = Response::new(body.boxed());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_pages_passes_and_only_under_our_own_name() {
        let address = SocketAddr::from(([127, 0, 0, 1], 8080));
        for (host, path, status) in [
            ("127.0.0.1:8080", "/ui/", None),
            ("localhost:8080", "/", None),
            ("127.0.0.1:8080", "/ui", None),
            ("127.0.0.1:8080", "/v1/web/links", Some(404)),
            ("127.0.0.1:8080", "/uix", Some(404)),
            ("127.0.0.1:8080", "/metrics", Some(404)),
            ("127.0.0.1:8081", "/ui/", Some(421)),
            ("evil.example:8080", "/ui/", Some(421)),
            ("", "/ui/", Some(421)),
        ] {
            let headers = HeaderMap::from_iter([(HOST, host.parse().unwrap())]);
            let refused = may_pass(&headers, path, address).err().map(|(status, _)| status.as_u16());
            assert_eq!(refused, status, "{host} {path}");
        }
    }

    #[test]
    fn nobody_brings_rights_along() {
        assert!(!is_for_both(&AUTHORIZATION) && is_for_both(&HOST));
    }
}
