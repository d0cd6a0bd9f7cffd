//! Sets the headers that restrict what a browser does with this server's pages.

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_FRAME_OPTIONS};
use tower_http::set_header::SetResponseHeaderLayer;

use super::app::App;

/// The policy for pages of text: the browser loads nothing and runs nothing. Only the page's own
/// style is allowed, by its digest.
pub(super) const PAGE_POLICY: &str = "default-src 'none'; \
     style-src 'sha256-iB9BP9wQLAtt3YMDX9BICaIYTz6lJtE6SGLXJStrObU='; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The policy for Swagger UI: scripts, styles and requests only of this server, the images in its
/// style sheet, and the style in its logo, by its digest.
pub(super) const DOCS_POLICY: &str = "default-src 'none'; \
     script-src 'self'; style-src 'self' 'sha256-RL3ie0nH+Lzz2YNqQN83mnU0J1ot4QL7b99vMdIX99w='; \
     img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Adds this content security policy to every answer of `pages`, and forbids frames and referrers.
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
