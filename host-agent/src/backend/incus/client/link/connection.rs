//! One connection, and one exchange on it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use futures_util::TryStreamExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, DATE, ETAG, HOST, HeaderMap, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt as _;
use tokio::task::AbortHandle;

use super::dial::Stream;
use crate::backend::incus::client::call::{Body, Call};
use crate::backend::incus::client::verdict::Answer;
use crate::backend::link::{Failure, FailureKind};

pub(super) const AGENT: &str = concat!("firstlight/", env!("CARGO_PKG_VERSION"));

/// Of a file that is sent, in bytes.
const PIECE: u64 = 256 * 1024;

/// Of an error, in bytes.
const WORDS: usize = 64 * 1024;

type Sent = UnsyncBoxBody<Bytes, io::Error>;

/// A connection that can take a request.
pub(super) struct Wire {
    sender: SendRequest<Sent>,
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
    /// HTTP on a stream; nothing of a request is sent.
    pub(super) async fn over(stream: Stream, server: &str) -> Result<Self, Failure> {
        let shake = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shake.map_err(|error| failed(false, lost(server, &error)))?;
        let driver = tokio::spawn(async move {
            // Its errors reach us as those of the request.
            let _ = connection.await;
        });
        Ok(Self { sender, driver: driver.abort_handle() })
    }

    /// Whether the server has not closed it meanwhile, as far as we know.
    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    pub(super) async fn exchange(
        mut self,
        call: &Call,
        target: &str,
        host: &str,
        server: &str,
        most: usize,
    ) -> Result<Exchanged, Failure> {
        self.sender.ready().await.map_err(|error| failed(false, lost(server, &error)))?;
        let request = request(call, target, host)
            .await
            .map_err(|why| failed(false, format!("{} {} cannot be sent: {why}", call.method, call.path)))?;
        let response = self.sender.try_send_request(request).await.map_err(|mut error| {
            let sent = error.take_message().is_none();
            failed(sent, lost(server, &error.into_error()))
        })?;
        let (answer, is_whole) = read(response, most, call.cut).await.map_err(|kind| Failure {
            kind,
            sent: true,
            text: match kind {
                FailureKind::TooLarge => format!("the answer of {server} is larger than {most} bytes"),
                _ => format!("the answer of {server} broke off"),
            },
        })?;
        let again = is_whole && self.is_open();
        Ok((answer, again.then_some(self)))
    }
}

fn failed(sent: bool, text: String) -> Failure {
    Failure { kind: FailureKind::Connection, sent, text }
}

/// With what is behind hyper's error.
fn lost(server: &str, error: &hyper::Error) -> String {
    format!("the connection to {server} broke: {}", firstlight_shared::error::Chain(error))
}

async fn request(call: &Call, target: &str, host: &str) -> Result<Request<Sent>, String> {
    let mut builder = Request::builder()
        .method(call.method.as_str())
        .uri(target)
        .header(HOST, host)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, AGENT);
    for (name, value) in &call.headers {
        builder = builder.header(*name, value);
    }
    if let Some(kind) = call.body.content_type() {
        builder = builder.header(CONTENT_TYPE, kind).header(CONTENT_LENGTH, call.body.length());
    }
    let body = match &call.body {
        Body::None => full(Bytes::new()),
        Body::Json(bytes) | Body::Bytes(bytes) => full(bytes.clone()),
        Body::File { path, length } => {
            file(path, *length).await.map_err(|error| format!("{}: {error}", path.display()))?
        }
    };
    builder.body(body).map_err(|error| error.to_string())
}

fn full(bytes: Bytes) -> Sent {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// So many bytes of the file, piece by piece.
async fn file(path: &Path, length: u64) -> io::Result<Sent> {
    let file = tokio::fs::File::open(path).await?;
    let pieces = futures_util::stream::try_unfold(file.take(length), |mut file| async move {
        let mut piece = Vec::with_capacity(usize::try_from(PIECE).unwrap_or_default());
        (&mut file).take(PIECE).read_to_end(&mut piece).await?;
        let piece = (!piece.is_empty()).then(|| Bytes::from(piece));
        Ok::<_, io::Error>(piece.map(|piece| (piece, file)))
    });
    Ok(StreamBody::new(pieces.map_ok(Frame::data)).boxed_unsync())
}

/// The answer, and whether all of it was read.
async fn read(response: Response<Incoming>, most: usize, cut: bool) -> Result<(Answer, bool), FailureKind> {
    let (parts, mut body) = response.into_parts();
    // An error is said in full, however little was to be taken.
    let (most, cut) = if parts.status.is_success() { (most, cut) } else { (most.max(WORDS), false) };
    let mut bytes = Vec::new();
    let mut is_whole = true;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| FailureKind::Connection)?;
        let Some(data) = frame.data_ref() else { continue };
        if bytes.len() + data.len() > most {
            if !cut {
                return Err(FailureKind::TooLarge);
            }
            bytes.extend_from_slice(data.get(..most - bytes.len()).unwrap_or_default());
            is_whole = false;
            break;
        }
        bytes.extend_from_slice(data);
    }
    let answer = Answer {
        status: parts.status.as_u16(),
        etag: text(&parts.headers, ETAG.as_str()),
        headers: of_interest(&parts.headers),
        body: bytes.into(),
    };
    Ok((answer, is_whole))
}

fn of_interest(headers: &HeaderMap) -> BTreeMap<String, String> {
    let names = headers.keys().filter(|name| name.as_str().starts_with("x-incus-") || *name == DATE);
    names.filter_map(|name| Some((name.to_string(), text(headers, name.as_str())?))).collect()
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}
