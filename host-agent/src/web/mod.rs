//! The pages for people: the fleet, its jobs, and what to do. Rendered here, whole without a script; a small script keeps
//! them up to date.
//!
//! ```text
//! gate (whose cookie is it?) -> guard (signed in, role, origin, headers) -> page (view models: pure) -> template
//! ```
//!
//! Everything that a guest says is escaped twice: what steers a terminal or turns the reading order by `text::escape` when
//! the view model is made, what is HTML by the template. No page needs anything from another host, and the policy that goes
//! with each (see `guard`) allows nothing else.

mod assets;
mod duplicates;
mod fleet;
mod form;
mod goldens;
mod guard;
mod guest;
mod home;
mod jobs;
mod live;
mod page;
mod sign_in;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use axum::routing::get;
use tokio::sync::watch;

use crate::bringup::Bringups;
use crate::http::Policy;
use crate::http::session::Sessions;

use fleet::Digests;
use live::Hub;

/// Bytes of a form.
const BODY_LIMIT: usize = 64 << 10;

/// What the pages are made of. Clones share it.
#[derive(Debug, Clone)]
struct Web {
    service: Arc<Bringups>,
    policy: watch::Receiver<Arc<Policy>>,
    sessions: Arc<Sessions>,
    hub: Arc<Hub>,
    digests: Arc<Digests>,
}

/// All pages, below [`crate::http::visit::PAGES`]. The gate before it says whose session a request has. To be called within
/// a runtime: a task of it renders what changes.
pub fn web_router(
    service: Arc<Bringups>,
    policy: watch::Receiver<Arc<Policy>>,
    sessions: Arc<Sessions>,
) -> Router {
    let digests = Arc::new(Digests::default());
    let hub = Hub::start(&service, &digests);
    let web = Web { service, policy, sessions, hub, digests };
    Router::new()
        .route("/", get(home::home))
        .route("/ui", get(home::home))
        .route("/ui/", get(fleet::fleet))
        .route("/ui/sign-in", get(sign_in::form).post(sign_in::with_token))
        .route("/ui/enter", get(sign_in::link).post(sign_in::with_link))
        .route("/ui/sign-out", axum::routing::post(sign_in::out))
        .route("/ui/guests/{name}", get(guest::page))
        .route("/ui/jobs", get(jobs::jobs))
        .route("/ui/jobs/{id}", get(jobs::job))
        .route("/ui/jobs/{id}/report.json", get(guest::raw))
        .route("/ui/jobs/{id}/report.html", get(guest::file))
        .route("/ui/jobs/{id}/{action}", get(jobs::confirm).post(jobs::ask))
        .route("/ui/duplicates", get(duplicates::list))
        .route("/ui/goldens", get(goldens::list))
        .route("/ui/live", get(live::live))
        .route("/ui/assets/{version}/{name}", get(assets::asset))
        .route("/ui/{*rest}", get(page::nothing_here))
        .method_not_allowed_fallback(page::nothing_to_do)
        .layer(from_fn(guard::guard))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(web)
}
