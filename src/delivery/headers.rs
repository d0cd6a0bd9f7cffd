//! Builds the headers of a delivery: which names the owner of an endpoint may choose, and in which
//! case each name is sent.

use std::convert::Infallible;
use std::sync::LazyLock;

use futures_util::FutureExt as _;
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::Extensions;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt as _;

use crate::domain::HeaderEntry;

/// The names that an owner may not choose.
///
/// These are the names that the documents reserve, and the names that concern the connection or the
/// framing of a request (RFC 9110, sections 6.6.2, 7.6.1 and 10.1; RFC 9112, appendix C.2.2). If
/// such a header were sent and not acted on, the receiver would wait for something that never
/// arrives, or would read the next request at the wrong place.
const RESERVED: [&str; 12] = [
    "host",
    "connection",
    "transfer-encoding",
    "user-agent",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
];

/// The prefixes of names that an owner may not choose.
const RESERVED_PREFIXES: [&str; 3] = ["content-", "webhook-", "x-webhook-"];

/// The names that are sent in lower case, as Standard Webhooks writes them.
const LOWER_CASE: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];

/// Returns the form of a name that the least precise receivers see. Two names with the same form
/// count as the same name.
///
/// CGI and WSGI (RFC 3875, section 4.1.18) turn `-` into `_` and change the case of letters.
/// Several servers turn every character that is neither a letter nor a digit into `_`.
#[must_use]
pub fn folded(name: &str) -> String {
    let fold = |char: char| {
        if char.is_ascii_alphanumeric() {
            char.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    name.chars().map(fold).collect()
}

/// Whether the server sets the header with this name, or a receiver could mistake it for one that
/// the server sets.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    let name = folded(name);
    let mut prefixes = RESERVED_PREFIXES.iter();
    RESERVED.contains(&name.as_str()) || prefixes.any(|prefix| name.starts_with(prefix))
}

/// The headers of a request, with the case of their names.
///
/// Names are sent in title case (`X-Webhook-Event`), with two exceptions: the names of Standard
/// Webhooks are in lower case, and a name that an owner wrote differently stays as written. Case
/// has no meaning in HTTP (RFC 9110, section 5.1), but some receivers compare it.
#[derive(Clone, Debug)]
pub struct Headers {
    pub(super) map: HeaderMap,
    pub(super) case: Extensions,
}

impl From<HeaderMap> for Headers {
    fn from(map: HeaderMap) -> Self {
        static CASE: LazyLock<Extensions> = LazyLock::new(|| case_of(&LOWER_CASE));
        let needs_case = LOWER_CASE.iter().any(|name| map.contains_key(*name));
        Self {
            map,
            case: if needs_case {
                CASE.clone()
            } else {
                Extensions::new()
            },
        }
    }
}

impl Headers {
    /// Adds the headers that an owner chose. They replace headers of the same name.
    ///
    /// A store may hold names that were reserved only later. These are left out, because a receiver
    /// could mistake them for headers that the server sets.
    #[must_use]
    pub fn with_own(mut self, entries: &[HeaderEntry]) -> Self {
        let mut cased: Vec<&str> = Vec::new();
        for entry in entries.iter().filter(|entry| !is_reserved(&entry.name)) {
            let name = HeaderName::from_bytes(entry.name.as_bytes());
            let value = HeaderValue::from_str(&entry.value);
            let (Ok(name), Ok(mut value)) = (name, value) else {
                continue;
            };
            // This keeps the value out of `Debug` output and of compression tables.
            value.set_sensitive(true);
            self.map.insert(name, value);
            if !is_title_case(&entry.name) {
                cased.push(&entry.name);
            }
        }
        if !cased.is_empty() {
            cased.extend(LOWER_CASE);
            self.case = case_of(&cased);
        }
        self
    }
}

/// Whether the name is already in hyper's title case: upper-case letters at the beginning and after
/// each `-`, and lower-case letters elsewhere.
fn is_title_case(name: &str) -> bool {
    let mut is_first = true;
    name.bytes().all(|byte| {
        let is_cased = if is_first {
            !byte.is_ascii_lowercase()
        } else {
            !byte.is_ascii_uppercase()
        };
        is_first = byte == b'-';
        is_cased
    })
}

/// Returns the request extensions that make hyper send these names in this case.
///
/// hyper keeps the case of the names only in a request that it receives, so that the request can be
/// forwarded. There is no other way to set it. So this function lets hyper receive a request with
/// these names from memory, which never waits. If a later hyper no longer keeps the case, names are
/// sent in title case.
fn case_of(names: &[&str]) -> Extensions {
    let mut head = "GET / HTTP/1.1\r\n".to_owned();
    for name in names {
        head += name;
        head += ":\r\n";
    }
    head += "\r\n";
    let received = Mutex::new(Extensions::new());
    let service = service_fn(|request: Request<Incoming>| {
        *received.lock() = request.extensions().clone();
        std::future::ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))
    });
    let receive = async {
        let (mut sender, receiver) = tokio::io::duplex(head.len() + 1024);
        sender.write_all(head.as_bytes()).await.ok()?;
        http1::Builder::new()
            .preserve_header_case(true)
            .keep_alive(false)
            .max_buf_size(head.len() + 8192)
            .max_headers(names.len())
            .serve_connection(TokioIo::new(receiver), service)
            .await
            .ok()
    };
    let _ = receive.now_or_never();
    received.into_inner()
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    #[test]
    fn names_that_a_receiver_may_read_as_reserved_ones_are_reserved() {
        for name in [
            "X-Webhook-Signature",
            "X_Webhook_Signature",
            "x_webhook-anything",
            "webhook_id",
            "Webhook.Signature",
            "Content_Length",
            "CONTENT_TYPE",
            "Transfer_Encoding",
            "User_Agent",
            "Keep_Alive",
            "HTTP2_Settings",
            "Proxy~Connection",
        ] {
            assert!(is_reserved(name), "{name}");
        }
        for name in [
            "X_Own",
            "Webhook",
            "X-Webhooks",
            "Accept",
            "Contents",
            "Hosts",
            "T_E",
        ] {
            assert!(!is_reserved(name), "{name}");
        }
    }

    fn own(names: &[&str]) -> Vec<HeaderEntry> {
        let entry = |name: &&str| HeaderEntry {
            name: (*name).into(),
            value: Zeroizing::new("v".into()),
        };
        names.iter().map(entry).collect()
    }

    #[test]
    fn reserved_names_from_earlier_are_not_sent() {
        let stored = own(&["X_Webhook_Signature", "content_length", "Host", "X-Own"]);
        let headers = Headers::from(HeaderMap::new()).with_own(&stored);
        let names: Vec<_> = headers.map.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["x-own"]);
    }

    #[test]
    fn the_case_of_any_name_is_kept() {
        // The maximum number of names, the maximum length, and every character that a name may
        // contain.
        let mut names = vec!["x-a!#$%&'*+.^_`|~Z".to_owned()];
        names.extend((1..100).map(|n| format!("x{n}{}", "Y".repeat(4090))));
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let headers = Headers::from(HeaderMap::new()).with_own(&own(&names));
        let text = format!("{:?}", headers.case);
        assert_eq!(headers.map.len(), 100);
        assert_eq!(headers.case.len(), 1, "{text}");
    }

    #[test]
    fn title_case_is_hypers() {
        for (name, is_title) in [
            ("X-Webhook-Event", true),
            ("Authorization", true),
            ("X-1a", true),
            ("X_y-Z", true),
            ("-X", true),
            ("x-own", false),
            ("X-own", false),
            ("X-API-Key", false),
            ("ETag", false),
        ] {
            assert_eq!(is_title_case(name), is_title, "{name}");
        }
    }
}
