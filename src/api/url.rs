//! Checks the URLs that deliveries are sent to, as far as the URL alone allows.

use std::borrow::Cow;

use url::Url;

use super::failure::FieldCode;
use crate::delivery::target;

/// The longest URL, in characters.
pub const MAX_URL_LENGTH: usize = 2048;

/// Checks the URL of an endpoint. It must be absolute, use `https` (or `http` if `allow_http`),
/// have at most [`MAX_URL_LENGTH`] characters, and have a host and port that can be dialled. It
/// must have no user information, fragment, white space, control characters or backslashes. Other
/// characters that a URL must not contain are percent-encoded when a delivery is sent ([`target`]).
///
/// # Errors
///
/// Returns the code and the message for what is wrong.
pub fn check(text: &str, allow_http: bool) -> Result<(), (FieldCode, Cow<'static, str>)> {
    let malformed = |detail| Err((FieldCode::InvalidFormat, Cow::Borrowed(detail)));
    if text.chars().count() > MAX_URL_LENGTH {
        let detail = format!("must be at most {MAX_URL_LENGTH} characters");
        return Err((FieldCode::OutOfRange, detail.into()));
    }
    // The parser silently drops these. The stored URL must be the one that is dialled.
    if text
        .chars()
        .any(|char| char.is_control() || char.is_whitespace())
    {
        return malformed("must not contain spaces or control characters");
    }
    let Ok(url) = Url::parse(text) else {
        return malformed("must be an absolute URL");
    };
    match url.scheme() {
        "https" => {}
        "http" if allow_http => {}
        _ if allow_http => return malformed("must start with https:// or http://"),
        _ => {
            return malformed(
                "must start with https:// (http:// only where the server runs with --dev)",
            );
        }
    }
    // The parser also accepts `https:host` and `https:\\host`; other programs do not. Only what
    // follows the scheme is checked: in `https:a@b://c` the parser sees the host `b`.
    let Some(rest) = text
        .get(url.scheme().len()..)
        .and_then(|rest| rest.strip_prefix("://"))
    else {
        return malformed("must start with https://");
    };
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    if authority.contains('@') {
        return malformed("must not contain a user name or password");
    }
    if authority.is_empty() {
        return malformed("must be an absolute URL with a host");
    }
    // The parser treats a backslash as a slash, other programs as part of the host.
    if text.contains('\\') {
        return malformed("must not contain a backslash (%5C is one in a path or query)");
    }
    if url.fragment().is_some() {
        return malformed("must not have a fragment");
    }
    // The parser accepts hosts such as `a{b` and ports that cannot be dialled. No attempt could
    // ever be made.
    if url.port() == Some(0) || target(text).is_none() {
        return malformed("must have a host and a port that can be dialled");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_plain_absolute_urls_pass() {
        for good in [
            "https://example.com",
            "HTTPS://EXAMPLE.com:8443/a?b=c@d",
            "https://[2001:db8::1]/hook",
            "https://bücher.example/ä",
            "https://example.com/a|b^[c]{d}`\"?%zz=|^[]{}`\"%",
        ] {
            assert_eq!(check(good, false), Ok(()), "{good}");
        }
        for bad in [
            "",
            "example.com",
            "/hook",
            "ftp://example.com",
            "http://example.com",
            "https:example.com",
            "https:\\\\example.com",
            "https:internal.example://example.com",
            "https:user:pw@internal.example://example.com",
            "https://",
            "https:///path",
            "https://exa mple.com",
            "https://example.com/\n",
            " https://example.com",
            "https://user@example.com",
            "https://user:pw@example.com",
            "https://@example.com",
            "https://example.com/#",
            "https://example.com/#a",
            "https://example.com\\@evil.example/",
            "https://example.com/a\\b",
            "https://example.com/?a\\b",
            "https://999.1.1.1/",
            "https://example.com:99999/",
            "https://example.com:0/",
            "https://a{b.example/",
            "https://a\"b.example/",
            "https://a`b.example/",
        ] {
            assert!(check(bad, false).is_err(), "{bad:?}");
        }
        assert_eq!(check("http://127.0.0.1:9000/hook", true), Ok(()));
        let long = format!("https://example.com/{}", "a".repeat(2048));
        assert_eq!(
            check(&long, true).map_err(|(code, _)| code),
            Err(FieldCode::OutOfRange)
        );
    }

    /// Returns whether a text has only characters that RFC 3986 allows.
    fn is_valid(target: &str) -> bool {
        let mut bytes = target.bytes();
        while let Some(byte) = bytes.next() {
            let is_valid = match byte {
                b'%' => (0..2).all(|_| bytes.next().is_some_and(|hex| hex.is_ascii_hexdigit())),
                _ => byte.is_ascii_alphanumeric() || b"-._~:/?@!$&'()*+,;=".contains(&byte),
            };
            if !is_valid {
                return false;
            }
        }
        true
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_is_sent_in_valid_characters(rest in "[^\\x00-\\x20]{0,40}") {
            let url = format!("https://example.com/{rest}");
            if check(&url, false).is_ok() {
                let uri = target(&url).expect("what is accepted can be sent");
                let sent = uri.path_and_query().expect("a target").as_str();
                prop_assert!(is_valid(sent), "{:?}", sent);
            }
        }

        #[test]
        fn a_valid_url_is_sent_unchanged(
            path in "(/([A-Za-z0-9_~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2}){1,8}){1,3}",
            query in "(\\?([A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2}){0,20})?",
        ) {
            // Encoded dots are dots (RFC 3986, section 6.2.2.2), and dot segments are never sent.
            prop_assume!(!path.to_ascii_lowercase().contains("%2e"));
            let url = format!("https://example.com{path}{query}");
            prop_assert_eq!(check(&url, false), Ok(()));
            prop_assert_eq!(target(&url).expect("a URL").to_string(), url);
        }
    }
}
