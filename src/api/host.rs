//! Checks that a request names its host as HTTP requires.
//!
//! The server answers to any name. But a request that names no host, or two, may be the result of
//! request smuggling, or a proxy on its path may have read it in another way. HTTP requires servers
//! to refuse it (RFC 9112, section 3.2; RFC 9113, section 8.3.1).

use std::net::Ipv6Addr;

use axum::http::header::HOST;
use axum::http::{HeaderMap, HeaderValue, Uri, Version};

/// Why a request does not name its host as HTTP requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHost {
    /// There is no `Host` header, and on HTTP/2 no `:authority` either.
    #[error("is missing: send one")]
    Missing,
    /// There are several `Host` headers.
    #[error("is there more than once: send one")]
    Repeated,
    /// The value is not `host` or `host:port` (RFC 9110, section 7.2).
    #[error("is not a host name or IP address with an optional port")]
    Malformed,
    /// On HTTP/2, `Host` differs from `:authority`.
    #[error("is not the same as :authority")]
    Contradictory,
}

/// Checks that a request names its host once and in a valid form.
///
/// HTTP/1.0 does not require `Host`. An empty value is valid: a client sends it to ask for no host
/// in particular. If an HTTP/1 request has an absolute target, the host in the target counts, and
/// only the form of `Host` is checked.
///
/// # Errors
///
/// Returns an [`InvalidHost`] that says what is wrong.
pub fn check(version: Version, uri: &Uri, headers: &HeaderMap) -> Result<(), InvalidHost> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(InvalidHost::Repeated);
    }
    let authority = uri
        .authority()
        .map(|authority| authority.as_str().as_bytes());
    let named = [authority, host.map(HeaderValue::as_bytes)];
    if !named.into_iter().flatten().all(is_host) {
        return Err(InvalidHost::Malformed);
    }
    match (version, named) {
        (Version::HTTP_11, [_, None]) | (Version::HTTP_2, [None, None]) => {
            Err(InvalidHost::Missing)
        }
        (Version::HTTP_2, [Some(authority), Some(host)])
            if !authority.eq_ignore_ascii_case(host) =>
        {
            Err(InvalidHost::Contradictory)
        }
        _ => Ok(()),
    }
}

/// Returns whether `value` is a host, with or without a port (RFC 3986, sections 3.2.2 and 3.2.3).
fn is_host(value: &[u8]) -> bool {
    let Ok(value) = std::str::from_utf8(value) else {
        return false;
    };
    let (is_host, rest) = if let Some(bracketed) = value.strip_prefix('[') {
        let Some((address, rest)) = bracketed.split_once(']') else {
            return false;
        };
        (address.parse::<Ipv6Addr>().is_ok(), rest)
    } else {
        let (name, rest) = value.split_at(value.find(':').unwrap_or(value.len()));
        (is_name(name), rest)
    };
    let is_port = |port: &str| {
        port.is_empty()
            || port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
    };
    is_host && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
}

/// Returns whether `name` is a registered name or an IPv4 address: allowed characters, and others
/// percent-encoded (RFC 3986, section 3.2.2).
fn is_name(name: &str) -> bool {
    let mut pieces = name.split('%');
    let plain = |piece: &str| {
        piece
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte))
    };
    pieces.next().is_some_and(plain)
        && pieces.all(|piece| {
            piece.split_at_checked(2).is_some_and(|(code, piece)| {
                code.bytes().all(|byte| byte.is_ascii_hexdigit()) && plain(piece)
            })
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_are_names_and_addresses_with_or_without_a_port() {
        for value in [
            "",
            "a",
            "localhost:8080",
            "api.example.com",
            "api.example.com.",
            "my_service:80",
            "xn--bcher-kva.example",
            "b%C3%BCcher.example",
            "127.0.0.1",
            "127.0.0.1:65535",
            "[::1]",
            "[::1]:8080",
            "[2001:db8::192.0.2.1]:0",
            "a:",
            "[::1]:",
            "a:0080",
        ] {
            assert!(is_host(value.as_bytes()), "{value}");
        }
        for value in [
            "a b",
            "a, b",
            " a",
            "a/",
            "a/b",
            "a?b",
            "a#b",
            "user@a",
            "user:secret@a",
            "http://a",
            "a:b",
            "a:-1",
            "a:+1",
            "a:65536",
            "a:80:80",
            "::1",
            "[::1",
            "[::1]80",
            "[::1]:x",
            "[a]",
            "[127.0.0.1]",
            "[::1%25eth0]",
            "[]",
            "a[1]",
            "a%",
            "a%2",
            "a%zz",
            "a\\b",
            "\"a\"",
            "<a>",
            "bücher.example",
        ] {
            assert!(!is_host(value.as_bytes()), "{value}");
        }
        assert!(!is_host(b"\xff"));
    }

    #[test]
    fn each_version_has_its_own_rule() {
        use InvalidHost::{Contradictory, Malformed, Missing, Repeated};
        let (path, absolute) = ("/x", "http://a:80/x");
        for (version, target, hosts, expected) in [
            (Version::HTTP_10, path, &[][..], Ok(())),
            (Version::HTTP_10, path, &["a"], Ok(())),
            (Version::HTTP_10, path, &["a b"], Err(Malformed)),
            (Version::HTTP_10, path, &["a", "a"], Err(Repeated)),
            (Version::HTTP_11, path, &[], Err(Missing)),
            (Version::HTTP_11, absolute, &[], Err(Missing)),
            (Version::HTTP_11, path, &["a"], Ok(())),
            (Version::HTTP_11, path, &[""], Ok(())),
            (Version::HTTP_11, path, &["a", "b"], Err(Repeated)),
            (Version::HTTP_11, path, &["", ""], Err(Repeated)),
            (Version::HTTP_11, absolute, &["b"], Ok(())),
            (Version::HTTP_11, absolute, &["b/"], Err(Malformed)),
            (Version::HTTP_11, "http://u@a/x", &["a"], Err(Malformed)),
            (Version::HTTP_11, "*", &["a"], Ok(())),
            (Version::HTTP_2, path, &[], Err(Missing)),
            (Version::HTTP_2, path, &["a"], Ok(())),
            (Version::HTTP_2, absolute, &[], Ok(())),
            (Version::HTTP_2, absolute, &["A:80"], Ok(())),
            (Version::HTTP_2, absolute, &["b:80"], Err(Contradictory)),
            (Version::HTTP_2, absolute, &[""], Err(Contradictory)),
            (Version::HTTP_2, absolute, &["a:80", "a:80"], Err(Repeated)),
        ] {
            let uri = target.parse().expect("a URI");
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(HOST, HeaderValue::from_static(host));
            }
            let checked = check(version, &uri, &headers);
            assert_eq!(checked, expected, "{version:?} {target} {hosts:?}");
        }
    }

    proptest! {
        #[test]
        fn the_host_of_any_url_is_a_host(url in "http://([a-z0-9._-]{1,20}|\\[[0-9a-f:]{2,20}\\])(:[0-9]{0,5})?/") {
            if let Ok(url) = url::Url::parse(&url) {
                let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
                prop_assert!(is_host(host.as_bytes()), "{host}");
            }
        }
    }
}
