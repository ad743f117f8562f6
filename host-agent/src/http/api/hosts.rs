//! What guests have said: reports, refusals, and the host keys that were verified.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use firstlight_shared::text::escape;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::ApiError;
use super::extract::{Params, split};
use super::jobs::{PAGE_LIMIT, check_place};
use crate::bringup::{Bringups, KnownHost, ReportFilter, ReportPage};
use crate::outcome::Fault;

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ReportsQuery {
    /// Only of this guest.
    guest: Option<String>,
    /// At most so many, up to 1000; as many as a page has, if 0 or nothing.
    #[param(required = false)]
    limit: usize,
    /// `next` of the page before.
    before: Option<String>,
}

/// List reports that were taken, and those that were refused, newest first. A guest that nobody knows is an error.
#[utoipa::path(get, path = "/v1/reports", tag = "guests", params(ReportsQuery),
    responses((status = 200, body = ReportPage), (status = 404, body = Fault), (status = "default", body = Fault)))]
pub(super) async fn reports(
    State(service): State<Arc<Bringups>>,
    Params(query): Params<ReportsQuery>,
) -> Result<Json<ReportPage>, ApiError> {
    let limit = query.limit.min(PAGE_LIMIT);
    check_place(query.before.as_deref(), ReportFilter::is_place)?;
    let filter = ReportFilter { guest: query.guest, limit, before: query.before };
    let page = service.reports(&filter).await?;
    if let Some(guest) = filter.guest.filter(|_| page.reports.is_empty() && page.refusals.is_empty())
        && !service.knows(&guest).await?
    {
        let name = escape(&guest, 80);
        let fault =
            Fault::new("no-such-guest", format!("no guest `{name}` is known, and nothing came from one"));
        return Err(fault
            .with_hint("`firstlight reports` lists what came, `firstlight jobs` the guests")
            .into());
    }
    Ok(Json(page))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HostsQuery {
    /// Guests' names joined by commas; all, if empty.
    #[param(required = false)]
    guest: String,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Hosts {
    pub hosts: Vec<KnownHost>,
}

/// Verified host keys of ready guests. A guest that is named and has none is an error.
#[utoipa::path(get, path = "/v1/known-hosts", tag = "guests", params(HostsQuery),
    responses((status = 200, body = Hosts), (status = 404, body = Fault), (status = "default", body = Fault)))]
pub(super) async fn known_hosts(
    State(service): State<Arc<Bringups>>,
    Params(query): Params<HostsQuery>,
) -> Result<Json<Hosts>, ApiError> {
    let guests = split(&query.guest);
    let hosts = service.known_hosts(&guests).await?;
    if let Some(missing) = guests.iter().find(|guest| hosts.iter().all(|host| host.guest != **guest)) {
        let name = escape(missing, 80);
        let fault =
            Fault::new("no-such-guest", format!("there is no ready guest `{name}` with a verified report"));
        return Err(fault.with_hint("`firstlight jobs` lists what there is").into());
    }
    Ok(Json(Hosts { hosts }))
}

/// What nobody shall trust any more.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RevokedKeys {
    /// `SHA256:...` of host keys of guests that are gone.
    pub fingerprints: Vec<String>,
    /// Their certificates, by the authority that made them.
    pub certificates: Vec<RevokedCertificates>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RevokedCertificates {
    /// Its public key line.
    pub authority: String,
    pub serials: Vec<u64>,
}

/// Host keys of guests that are gone, and their certificates. A key that a guest has that is there is none of them.
#[utoipa::path(get, path = "/v1/revoked-keys", tag = "guests",
    responses((status = 200, body = RevokedKeys), (status = "default", body = Fault)))]
pub(super) async fn revoked_keys(
    State(service): State<Arc<Bringups>>,
) -> Result<Json<RevokedKeys>, ApiError> {
    let fingerprints = service.store.retired_host_keys().await?;
    let mut certificates: Vec<RevokedCertificates> = Vec::new();
    // Those of one authority stand together.
    for (authority, serial) in service.store.revoked_certificates(crate::clock::now_ms() / 1000).await? {
        match certificates.last_mut() {
            Some(known) if known.authority == authority => known.serials.push(serial),
            _ => certificates.push(RevokedCertificates { authority, serials: vec![serial] }),
        }
    }
    Ok(Json(RevokedKeys { fingerprints, certificates }))
}
