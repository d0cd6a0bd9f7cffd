//! Which URLs deliveries may be sent to, as far as a URL alone can tell.

use axum::http::Uri;
use url::Url;

use super::failure::FieldCode;

/// The longest URL, in characters.
pub const MAX_URL_LENGTH: usize = 2048;

/// Checks the URL of an endpoint: absolute, `https` (or `http` where `allow_http`), at most 2048
/// characters, without user information, fragment, white space or control characters, and such as HTTP
/// can ask for.
///
/// # Errors
///
/// The code and the words for what is wrong.
pub fn check(text: &str, allow_http: bool) -> Result<(), (FieldCode, &'static str)> {
    let malformed = |detail| Err((FieldCode::InvalidFormat, detail));
    if text.chars().count() > MAX_URL_LENGTH {
        return Err((FieldCode::OutOfRange, "must be at most 2048 characters"));
    }
    // The parser drops these silently; what is stored must be what is dialled.
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
    // The parser also accepts `https:host` and `https:\\host`; other programs do not.
    // Only what follows the scheme counts: in `https:a@b://c` the parser sees the host `b`.
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
    if authority.is_empty() || text.contains('\\') {
        return malformed("must be an absolute URL with a host");
    }
    if url.fragment().is_some() {
        return malformed("must not have a fragment");
    }
    // The parser takes hosts such as `a{b` and ports that nobody can dial: no attempt would ever be made.
    if url.port() == Some(0) || Uri::try_from(url.as_str()).is_err() {
        return malformed("must have a host and a port that can be dialled");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_absolute_urls_pass() {
        for good in [
            "https://example.com",
            "HTTPS://EXAMPLE.com:8443/a?b=c@d",
            "https://[2001:db8::1]/hook",
            "https://bücher.example/ä",
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
}
