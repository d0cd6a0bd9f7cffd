//! Headers that have a browser hold the pages here to what they need.

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_FRAME_OPTIONS};
use tower_http::set_header::SetResponseHeaderLayer;

use super::app::App;

/// For pages of text: nothing is loaded, nothing runs, and only their own style counts, named by its digest.
pub(super) const PAGE_POLICY: &str = "default-src 'none'; \
     style-src 'sha256-iB9BP9wQLAtt3YMDX9BICaIYTz6lJtE6SGLXJStrObU='; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// For Swagger UI: scripts, styles and requests of this server alone, the images in its style sheet, and the style in
/// its logo, named by its digest.
pub(super) const DOCS_POLICY: &str = "default-src 'none'; \
     script-src 'self'; style-src 'self' 'sha256-RL3ie0nH+Lzz2YNqQN83mnU0J1ot4QL7b99vMdIX99w='; \
     img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `pages`, each answer with this content security policy, in no frame of another page, and naming no page to others.
pub(super) fn guarded(pages: Router<App>, policy: &'static str) -> Router<App> {
    let headers = [
        (CONTENT_SECURITY_POLICY, policy),
        // For browsers that do not know `frame-ancestors`.
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    headers.into_iter().fold(pages, |pages, (name, value)| {
        let value = HeaderValue::from_static(value);
        pages.layer(SetResponseHeaderLayer::overriding(name, value))
    })
}
