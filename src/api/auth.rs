//! Authenticates callers: bearer API keys (RFC 6750) and the tenants that they belong to.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use sha2::{Digest as _, Sha256};

use super::body_room::BodyRoom;
use super::failure::Failure;
use super::rate_limit::RateLimit;
use crate::domain::TenantId;

/// The path prefixes that require a key. Without a key, a caller does not learn whether a path
/// under them exists.
const PROTECTED: [&str; 5] = ["/webhooks", "/events", "/deliveries", "/dev", "/v1/public"];

/// Returns whether a request to `path` needs a key, even if nothing is at that path.
#[must_use]
pub fn is_protected(path: &str) -> bool {
    PROTECTED.iter().any(|prefix| {
        path.strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// A tenant, with its rate limit.
pub struct Tenant {
    /// The tenant's id.
    pub id: TenantId,
    /// The tenant's token bucket; `None` when the rate limit is off.
    pub rate_limit: Option<RateLimit>,
    /// The room for the bodies of the tenant's requests; see [`BodyRoom`].
    pub bodies: BodyRoom,
}

/// Marks the response to a request with a valid key of this tenant, so that the server knows whose
/// its connection is.
#[derive(Clone, Debug)]
pub struct Authenticated(pub TenantId);

/// All API keys, as SHA-256 digests. The table holds no key in plain text, and the duration of a
/// look-up reveals nothing about a key.
pub struct Tenants(HashMap<[u8; 32], Arc<Tenant>>);

impl Tenants {
    /// Creates the table from `keys`: pairs of a tenant's name and an API key. All keys of one
    /// tenant share its bucket. `rate_limit` is in requests per second; `None` means no limit.
    pub fn new<'a>(
        keys: impl IntoIterator<Item = (&'a str, &'a str)>,
        rate_limit: Option<NonZeroU32>,
    ) -> Self {
        let mut tenants: HashMap<&str, Arc<Tenant>> = HashMap::new();
        let table = keys.into_iter().map(|(name, key)| {
            let tenant = tenants.entry(name).or_insert_with(|| {
                Arc::new(Tenant {
                    id: TenantId::new(name),
                    rate_limit: rate_limit.map(RateLimit::per_second),
                    bodies: BodyRoom::default(),
                })
            });
            (Sha256::digest(key.as_bytes()).into(), Arc::clone(tenant))
        });
        Self(table.collect())
    }

    /// Returns the tenant whose key the request carries.
    ///
    /// # Errors
    ///
    /// Returns [`Failure::MissingToken`] when there is no bearer token, and
    /// [`Failure::InvalidToken`] when the token belongs to no tenant or there is more than one
    /// `Authorization` header.
    pub fn authenticate(&self, headers: &HeaderMap) -> Result<&Arc<Tenant>, Failure> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = values.next() else {
            return Err(Failure::MissingToken);
        };
        if values.next().is_some() {
            return Err(Failure::InvalidToken);
        }
        let token = bearer_token(value.as_bytes()).ok_or(Failure::MissingToken)?;
        let digest: [u8; 32] = Sha256::digest(token).into();
        self.0.get(&digest).ok_or(Failure::InvalidToken)
    }
}

/// Returns the token after `Bearer` and at least one space (RFC 6750, section 2.1). The scheme is
/// case-insensitive (RFC 9110, section 11.1).
fn bearer_token(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"bearer") || rest.first() != Some(&b' ') {
        return None;
    }
    let token = rest.trim_ascii();
    (!token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_at_a_slash() {
        for path in [
            "/webhooks",
            "/webhooks/",
            "/dev/x",
            "/v1/public",
            "/v1/public/y",
            "/events",
        ] {
            assert!(is_protected(path), "{path}");
        }
        for path in [
            "/",
            "/webhook",
            "/webhooksx",
            "/devx",
            "/v1",
            "/v1/publicx",
            "/docs",
            "/healthz",
        ] {
            assert!(!is_protected(path), "{path}");
        }
    }

    #[test]
    fn the_scheme_may_be_in_any_case_and_needs_a_space() {
        assert_eq!(bearer_token(b"bEARER  abc"), Some(&b"abc"[..]));
        for value in [
            &b"Bearer"[..],
            b"Bearer ",
            b"Bearerabc",
            b"Basic abc",
            b"",
            b"abc",
        ] {
            assert_eq!(bearer_token(value), None, "{value:?}");
        }
    }
}
