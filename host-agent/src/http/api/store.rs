//! The store as a whole: its integrity, a copy, an export.

use std::io;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::Response;
use firstlight_shared::error::Chain;
use futures_util::{Stream, StreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};
use utoipa::ToSchema;

use super::error::ApiError;
use crate::bringup::Bringups;
use crate::outcome::Fault;

/// Bytes of one piece of an answer.
const PIECE: usize = 64 << 10;

/// What is wrong with the store.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct StoreCheck {
    /// Empty: nothing.
    pub problems: Vec<String>,
}

/// Check the store: what the database says of itself, and that every journal gives the state that is kept beside it.
#[utoipa::path(get, path = "/v1/store/check", tag = "store",
    responses((status = 200, body = StoreCheck), (status = "default", body = Fault)))]
pub(super) async fn check(State(service): State<Arc<Bringups>>) -> Result<Json<StoreCheck>, ApiError> {
    Ok(Json(StoreCheck { problems: service.store.check().await? }))
}

/// A whole and consistent copy of the embedded store, made while work goes on. It holds secrets: only operators get it.
#[utoipa::path(post, path = "/v1/store/backup", tag = "store", responses(
    (status = 200, body = Vec<u8>, content_type = "application/vnd.sqlite3"), (status = "default", body = Fault)))]
pub(super) async fn backup(State(service): State<Arc<Bringups>>) -> Result<Response, ApiError> {
    let unusable = |error: io::Error| {
        tracing::error!(%error, "a copy of the store cannot be kept for a moment");
        ApiError::from(Fault::new("store-backup", "the copy of the store cannot be kept on its way"))
    };
    let folder = tempfile::tempdir().map_err(unusable)?;
    let copy = folder.path().join("copy.db");
    service.store.backup(&copy).await?;
    // From here on it has no name, and goes with its last reader.
    let file = tokio::fs::File::open(&copy).await.map_err(unusable)?;
    drop(folder);
    Ok(answer(pieces(file), "application/vnd.sqlite3"))
}

/// Every finished job as one line of JSON: its journal and its report, without secrets. Newest first.
#[utoipa::path(get, path = "/v1/store/export", tag = "store", responses(
    (status = 200, body = Object, content_type = "application/x-ndjson"), (status = "default", body = Fault)))]
pub(super) async fn export(State(service): State<Arc<Bringups>>) -> Response {
    let (mut writer, reader) = tokio::io::duplex(PIECE);
    let written = tokio::spawn(async move { service.store.export(&mut writer).await });
    // An export that failed on the way must not look whole.
    let end = stream::once(written).filter_map(|written| async {
        let failed = match written {
            Ok(Ok(_)) => return None,
            Ok(Err(error)) => Chain(&error).to_string(),
            Err(error) => error.to_string(),
        };
        tracing::error!(error = %failed, "an export was cut");
        Some(Err(io::Error::other(failed)))
    });
    answer(pieces(reader).chain(end), "application/x-ndjson")
}

fn pieces(reader: impl AsyncRead + Unpin + Send + 'static) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::unfold(Some(reader), |reader| async {
        let mut reader = reader?;
        let mut piece = vec![0; PIECE];
        match reader.read(&mut piece).await {
            Ok(0) => None,
            Ok(length) => {
                piece.truncate(length);
                Some((Ok(Bytes::from(piece)), Some(reader)))
            }
            Err(error) => Some((Err(error), None)),
        }
    })
}

fn answer(pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static, kind: &'static str) -> Response {
    let mut response = Response::new(Body::from_stream(pieces));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
