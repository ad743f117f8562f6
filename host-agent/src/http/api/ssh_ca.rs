//! The host CA: what it is, what it issued, and certificates on demand.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::ApiError;
use super::extract::{Body, By, Params};
use super::jobs::{PAGE_LIMIT, resolve};
use crate::bringup::{Bringups, CertifyError, ForeignKey, ShownAuthority, no_authority};
use crate::outcome::Fault;
use crate::store::StoredCertificate;

/// Whom a certificate is for: a guest that is ready, or a key of another host.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SignRequest {
    /// Its name.
    Guest(String),
    Key(ForeignKey),
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Certificates {
    /// Newest first.
    pub certificates: Vec<StoredCertificate>,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CertificatesQuery {
    /// Only of this guest.
    guest: Option<String>,
    /// At most so many, up to 1000; 100, if 0 or nothing.
    #[param(required = false)]
    limit: usize,
}

impl From<CertifyError> for ApiError {
    fn from(error: CertifyError) -> Self {
        match error {
            CertifyError::Store(error) => error.into(),
            error => Fault::from(error).into(),
        }
    }
}

/// The host CA's public key.
#[utoipa::path(get, path = "/v1/ssh-ca", tag = "guests", responses((status = 200, body = ShownAuthority),
    (status = 404, body = Fault, description = "There is none"), (status = "default", body = Fault)))]
pub(super) async fn authority(
    State(service): State<Arc<Bringups>>,
) -> Result<Json<ShownAuthority>, ApiError> {
    Ok(Json(service.certifier.authority().await?.ok_or_else(no_authority)?))
}

/// Host certificates that were issued, newest first.
#[utoipa::path(get, path = "/v1/ssh-ca/certificates", tag = "guests", params(CertificatesQuery),
    responses((status = 200, body = Certificates), (status = "default", body = Fault)))]
pub(super) async fn certificates(
    State(service): State<Arc<Bringups>>,
    Params(query): Params<CertificatesQuery>,
) -> Result<Json<Certificates>, ApiError> {
    let limit = query.limit.min(PAGE_LIMIT);
    let certificates = service.store.list_certificates(query.guest.as_ref(), limit).await?;
    Ok(Json(Certificates { certificates }))
}

/// Issue fresh certificates: for the verified keys of a guest that is ready, or for a key of another host.
#[utoipa::path(post, path = "/v1/ssh-ca/certificates", tag = "guests", request_body = SignRequest,
    responses((status = 200, body = Certificates), (status = 404, body = Fault), (status = "default", body = Fault)))]
pub(super) async fn sign(
    State(service): State<Arc<Bringups>>,
    By(who): By,
    Body(request): Body<SignRequest>,
) -> Result<Json<Certificates>, ApiError> {
    let certificates = match request {
        SignRequest::Key(key) => service.certifier.foreign(&key, &who).await?,
        SignRequest::Guest(guest) => {
            if service.certifier.authority().await?.is_none() {
                return Err(no_authority().into());
            }
            let job = resolve(&service, &guest).await?;
            let issued = service.certifier.of_guest(&job, &who, true).await?;
            issued.ok_or_else(|| {
                let name = firstlight_shared::text::escape(&guest, 80);
                Fault::new(
                    "no-such-guest",
                    format!("there is no ready guest `{name}` with a verified report"),
                )
                .with_hint("`firstlight jobs` lists what there is")
            })?
        }
    };
    Ok(Json(Certificates { certificates }))
}
