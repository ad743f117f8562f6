//! Whoever types the host's name only.

use axum::response::{IntoResponse, Redirect, Response};

pub(super) async fn home() -> Response {
    Redirect::to("/ui/").into_response()
}
