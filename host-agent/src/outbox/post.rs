//! One POST: bounded in time and size, to a pinned server or one that an authority vouches for. Redirects are not followed.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Letter;
use crate::backend::link::pin::Pin;
use crate::backend::link::tls::{WrongCertificate, connector};
use crate::config::Url;

const AGENT: &str = concat!("firstlight/", env!("CARGO_PKG_VERSION"));
/// From the connection to the end of the answer.
const LIMIT: Duration = Duration::from_secs(20);
/// Of an answer, in bytes: only the beginning of an error is of interest.
const ANSWER: usize = 64 * 1024;

/// How a letter was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    Taken,
    /// 410: no letter is wanted any more.
    Gone,
    Refused {
        error: String,
        /// As the answer asks.
        after: Option<Duration>,
    },
}

/// Where letters are put in.
#[derive(Clone)]
pub struct Postbox {
    address: Url,
    /// None: in the clear.
    tls: Option<(TlsConnector, ServerName<'static>)>,
    limit: Duration,
}

impl std::fmt::Debug for Postbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postbox").field("address", &self.address.to_string()).finish_non_exhaustive()
    }
}

impl Postbox {
    /// `pin`: of a secure address.
    ///
    /// # Errors
    /// An authority's certificate is none, or the host is no name.
    pub fn new(address: Url, pin: Option<&Pin>) -> Result<Self, rustls::Error> {
        let tls = match pin.filter(|_| address.secure) {
            None => None,
            Some(pin) => {
                let name = ServerName::try_from(address.host.clone())
                    .map_err(|error| rustls::Error::General(error.to_string()))?;
                Some((connector(pin, None)?, name))
            }
        };
        Ok(Self { address, tls, limit: LIMIT })
    }

    pub fn address(&self) -> &Url {
        &self.address
    }

    pub(super) async fn post(&self, letter: &Letter) -> Answered {
        let refused = |error: String| Answered::Refused { error, after: None };
        match tokio::time::timeout(self.limit, self.exchange(letter)).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(error)) => refused(error),
            Err(_) => refused(format!("no answer within {} s", self.limit.as_secs())),
        }
    }

    async fn exchange(&self, letter: &Letter) -> Result<Answered, String> {
        let at = (self.address.host.as_str(), self.address.port);
        let stream = TcpStream::connect(at)
            .await
            .map_err(|error| format!("{} cannot be reached: {error}", self.address.authority()))?;
        match &self.tls {
            None if self.address.secure => Err("there is no way to know the server".to_owned()),
            None => self.speak(stream, letter).await,
            Some((connector, name)) => {
                let stream =
                    connector.connect(name.clone(), stream).await.map_err(
                        |error| match WrongCertificate::of(&error) {
                            Some(wrong) => wrong.to_string(),
                            None => format!("TLS with {} fails: {error}", self.address.authority()),
                        },
                    )?;
                self.speak(stream, letter).await
            }
        }
    }

    async fn speak<S>(&self, stream: S, letter: &Letter) -> Result<Answered, String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let broke = |error: hyper::Error| {
            format!("the connection broke: {}", firstlight_shared::error::Chain(&error))
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broke)?;
        let request = self.request(letter).map_err(|error| error.to_string())?;
        let asking = async {
            let response = sender.send_request(request).await.map_err(broke)?;
            Ok(judged(response).await)
        };
        // The connection is driven here, and ends with the exchange.
        tokio::pin!(connection);
        tokio::pin!(asking);
        tokio::select! {
            answered = &mut asking => answered,
            ended = &mut connection => match ended {
                Ok(()) => asking.await,
                Err(error) => Err(broke(error)),
            },
        }
    }

    fn request(&self, letter: &Letter) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let mut builder = Request::post(&self.address.path)
            .header(HOST, self.address.authority())
            .header(USER_AGENT, AGENT)
            .header(CONTENT_TYPE, "application/json")
            .header(CONTENT_LENGTH, letter.body.len());
        for (name, value) in &letter.headers {
            builder = builder.header(*name, value);
        }
        builder.body(Full::new(Bytes::from(letter.body.clone())))
    }
}

async fn judged(response: Response<hyper::body::Incoming>) -> Answered {
    let status = response.status();
    if status.is_success() {
        return Answered::Taken;
    }
    if status == StatusCode::GONE {
        return Answered::Gone;
    }
    let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = Limited::new(response.into_body(), ANSWER).collect().await;
    let words = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default();
    let mut error = format!("it says {}", status.as_u16());
    if status.is_redirection() {
        error.push_str(", and redirects are not followed");
    }
    if !words.trim().is_empty() {
        error.push_str(&format!(": {}", words.trim()));
    }
    Answered::Refused { error, after: after.map(Duration::from_secs) }
}
