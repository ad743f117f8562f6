//! Style, script and icon, part of the program. Their address has a digest of them, so that browsers keep them for good and
//! another version is another address.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

/// Of a guest's report, wherever it is shown.
use crate::report::html::STYLE as REPORT;

const STYLE: &str = include_str!("assets/style.css");
const SCRIPT: &str = include_str!("assets/live.js");
const ICON: &str = include_str!("assets/icon.svg");

/// Of all of them.
pub(super) static VERSION: LazyLock<String> = LazyLock::new(|| {
    let digest = Sha256::new()
        .chain_update(STYLE)
        .chain_update(SCRIPT)
        .chain_update(ICON)
        .chain_update(REPORT)
        .finalize();
    hex::encode(&digest[..8])
});

pub(super) async fn asset(Path((version, name)): Path<(String, String)>) -> Response {
    let found = match name.as_str() {
        "style.css" => Some(("text/css; charset=utf-8", STYLE)),
        "report.css" => Some(("text/css; charset=utf-8", REPORT)),
        "live.js" => Some(("text/javascript; charset=utf-8", SCRIPT)),
        "icon.svg" => Some(("image/svg+xml", ICON)),
        _ => None,
    };
    match found.filter(|_| version == *VERSION) {
        Some((kind, text)) => {
            let kept = "public, max-age=31536000, immutable";
            ([(CONTENT_TYPE, kind), (CACHE_CONTROL, kept)], text).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
