//! The API's description: what is not said by the handlers themselves.

use axum::Json;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Firstlight companion",
        description = "Brings guests up, follows them, and undoes what was done. Served on the companion's unix socket and, \
                       if configured, over TLS with a token or a client certificate. Times are milliseconds since the Unix \
                       epoch. Errors are a Fault.",
    ),
    modifiers(&Access),
    security((), ("token" = []), ("certificate" = [])),
)]
pub(super) struct Description;

/// How one proves who one is over TLS. On the unix socket the kernel says it.
struct Access;

impl Modify for Access {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        let token = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme("token", token);
        components.add_security_scheme(
            "certificate",
            SecurityScheme::MutualTls { description: None, deprecated: None, extensions: None },
        );
    }
}

/// This description.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "companion", responses((status = 200, body = Object)))]
pub(super) async fn openapi() -> Json<Document> {
    Json(super::api_document())
}
