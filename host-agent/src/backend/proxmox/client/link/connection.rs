//! One connection, and one exchange on it.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::ext::ReasonPhrase;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;

use crate::backend::link::Address;
use crate::backend::link::tls::WrongCertificate;
use crate::backend::proxmox::client::call::{Call, Limits};
use crate::backend::proxmox::client::verdict::{Answer, Failure, FailureKind};

/// A connection that can take a request.
pub(super) struct Wire {
    sender: SendRequest<Full<Bytes>>,
    driver: AbortHandle,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// What came of an exchange: the answer, and the connection if it may be used again.
pub(super) type Exchanged = (Answer, Option<Wire>);

impl Wire {
    /// TCP, TLS and HTTP; nothing of a request is sent.
    pub(super) async fn open(
        address: &Address,
        name: ServerName<'static>,
        connector: &TlsConnector,
        limit: Duration,
    ) -> Result<Self, Failure> {
        let opened = tokio::time::timeout(limit, connect(address, name, connector)).await;
        opened.unwrap_or_else(|_| {
            let text = format!("{address} does not answer within {limit:?}");
            Err(Failure { kind: FailureKind::TimedOut, sent: false, text })
        })
    }

    /// Whether the server has not closed it meanwhile, as far as we know.
    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    pub(super) async fn exchange(
        self,
        call: &Call,
        address: &Address,
        authorization: HeaderValue,
        limits: &Limits,
    ) -> Result<Exchanged, Failure> {
        let limit = limits.of(call.pace);
        let exchanged =
            tokio::time::timeout(limit, self.send(call, address, authorization, limits.answer)).await;
        exchanged.unwrap_or_else(|_| {
            let text = format!("no answer from {address} within {limit:?}");
            Err(Failure { kind: FailureKind::TimedOut, sent: true, text })
        })
    }

    async fn send(
        mut self,
        call: &Call,
        address: &Address,
        authorization: HeaderValue,
        largest: usize,
    ) -> Result<Exchanged, Failure> {
        let failed = |sent, text: String| Failure { kind: FailureKind::Connection, sent, text };
        let lost = |error: hyper::Error| format!("the connection to {address} broke: {}", reason(&error));
        self.sender.ready().await.map_err(|error| failed(false, lost(error)))?;
        let request = request(call, address, authorization)
            .map_err(|error| failed(false, format!("this cannot be sent: {error}")))?;
        let response = self.sender.try_send_request(request).await.map_err(|mut error| {
            let sent = error.take_message().is_none();
            failed(sent, lost(error.into_error()))
        })?;
        let answer = read(response, largest).await.map_err(|kind| Failure {
            kind,
            sent: true,
            text: match kind {
                FailureKind::TooLarge => format!("the answer of {address} is larger than {largest} bytes"),
                _ => format!("the answer of {address} broke off"),
            },
        })?;
        // After an error the server hangs up.
        let again = answer.status < 400 && self.is_open();
        Ok((answer, again.then_some(self)))
    }
}

async fn connect(
    address: &Address,
    name: ServerName<'static>,
    connector: &TlsConnector,
) -> Result<Wire, Failure> {
    let unreachable = |text: String| Failure { kind: FailureKind::Connection, sent: false, text };
    let stream = TcpStream::connect((address.host.as_str(), address.port))
        .await
        .map_err(|error| unreachable(format!("{address} cannot be reached: {error}")))?;
    // Small requests must not wait for the other side's acknowledgements.
    stream.set_nodelay(true).map_err(|error| unreachable(format!("{address}: {error}")))?;
    let stream =
        connector.connect(name, stream).await.map_err(|error| match WrongCertificate::of(&error) {
            Some(wrong) => Failure {
                kind: FailureKind::WrongCertificate,
                sent: false,
                text: format!("{address}: {wrong}"),
            },
            None => unreachable(format!("{address} does not speak TLS as it should: {error}")),
        })?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| unreachable(format!("{address}: {}", reason(&error))))?;
    let driver = tokio::spawn(async move {
        // Its errors reach us as those of the request.
        let _ = connection.await;
    });
    Ok(Wire { sender, driver: driver.abort_handle() })
}

fn request(
    call: &Call,
    address: &Address,
    authorization: HeaderValue,
) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let mut builder = Request::builder()
        .method(call.method.as_str())
        .uri(call.target())
        .header(HOST, address.to_string())
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, concat!("firstlight/", env!("CARGO_PKG_VERSION")))
        .header(AUTHORIZATION, authorization);
    let body = call.body();
    if let Some(body) = &body {
        builder = builder
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(CONTENT_LENGTH, body.len());
    }
    builder.body(Full::from(body.unwrap_or_default()))
}

async fn read(response: Response<Incoming>, largest: usize) -> Result<Answer, FailureKind> {
    let status = response.status();
    let reason = match response.extensions().get::<ReasonPhrase>() {
        Some(reason) => String::from_utf8_lossy(reason.as_bytes()).into_owned(),
        None => status.canonical_reason().unwrap_or_default().to_owned(),
    };
    match Limited::new(response.into_body(), largest).collect().await {
        Ok(body) => Ok(Answer { status: status.as_u16(), reason, body: body.to_bytes().to_vec() }),
        Err(error) if error.is::<LengthLimitError>() => Err(FailureKind::TooLarge),
        Err(_) => Err(FailureKind::Connection),
    }
}

/// hyper's error with what is behind it.
fn reason(error: &hyper::Error) -> String {
    firstlight_shared::error::Chain(error).to_string()
}
