//! Turns the URL of an endpoint into the URL that a request is sent to.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use hyper::Uri;
use parking_lot::Mutex;
use url::{Position, Url};

/// Returns the URL that a request is sent to, or `None` if no request can be sent there.
///
/// - The parser turns every spelling of a host into one: `0x7f.1` becomes `127.0.0.1`, and
///   `bücher.example` becomes Punycode.
/// - The path has no dot segments.
/// - A character that is not allowed in a path or query (RFC 3986, sections 3.3 and 3.4) is
///   percent-encoded, and so is a `%` without two hex digits. Many servers refuse a request with
///   one of these.
///
/// Nothing else changes.
#[must_use]
pub fn target(text: &str) -> Option<Uri> {
    let url = Url::parse(text).ok()?;
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    let authority = &url[Position::BeforeHost..Position::AfterPort];
    let mut target = format!("{}://{authority}", url.scheme());
    push_encoded(&mut target, url.path());
    if url.query().is_some() {
        target.push('?');
        // The query is taken from the text, because the parser encodes `'`, which is allowed in a
        // query.
        let text = text.split('#').next().unwrap_or_default();
        push_encoded(&mut target, text.split_once('?').unwrap_or_default().1);
    }
    Uri::try_from(target).ok()
}

/// A cache of parsed URLs: an endpoint's URL is used again and again. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Targets(Arc<Mutex<HashMap<Box<str>, Uri>>>);

/// The maximum number of cached URLs. When it is reached, the cache is cleared.
const MOST_TARGETS: usize = 4096;

impl Targets {
    /// Does the same as [`target`], with the cache.
    pub fn of(&self, text: &str) -> Option<Uri> {
        let mut known = self.0.lock();
        if let Some(uri) = known.get(text) {
            return Some(uri.clone());
        }
        let uri = target(text)?;
        if known.len() >= MOST_TARGETS {
            known.clear();
        }
        known.insert(text.into(), uri.clone());
        Some(uri)
    }
}

/// Appends a path or query and percent-encodes the characters that are not allowed in it.
fn push_encoded(target: &mut String, text: &str) {
    for (index, byte) in text.bytes().enumerate() {
        let is_kept = match byte {
            b'%' => {
                let hex = text.as_bytes().get(index + 1..index + 3);
                hex.is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
            }
            _ => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?".contains(&byte),
        };
        if is_kept {
            target.push(byte.into());
        } else {
            // Writing to memory cannot fail.
            let _ = write!(target, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(text: &str) -> String {
        target(text).expect("a URL").to_string()
    }

    #[test]
    fn what_is_no_character_of_a_url_is_encoded() {
        for (path, expected) in [
            ("", "/"),
            ("/", "/"),
            ("?", "/?"),
            ("/?", "/?"),
            ("/a|b", "/a%7Cb"),
            ("/a^b", "/a%5Eb"),
            ("/a[b]", "/a%5Bb%5D"),
            ("/a{b}`", "/a%7Bb%7D%60"),
            ("/<\">", "/%3C%22%3E"),
            ("/?a={b}|^`[]<\">", "/?a=%7Bb%7D%7C%5E%60%5B%5D%3C%22%3E"),
            ("/?a=\\b c", "/?a=%5Cb%20c"),
            ("/%zz%", "/%25zz%25"),
            ("/%%41?%4%", "/%25%41?%254%25"),
            ("/%7c?%7C", "/%7c?%7C"),
            ("/ä?ä", "/%C3%A4?%C3%A4"),
            ("/a/../b/./c", "/b/c"),
            ("/a'b?it's=(a;b),c", "/a'b?it's=(a;b),c"),
            ("/a??b=c?d/e", "/a??b=c?d/e"),
            ("/a#b?c", "/a"),
            ("/a?b#c?d", "/a?b"),
        ] {
            let url = format!("https://example.com{path}");
            assert_eq!(
                sent(&url),
                format!("https://example.com{expected}"),
                "{path}"
            );
        }
        assert_eq!(sent("HTTP://user@0x7f.1:80?a|b"), "http://127.0.0.1/?a%7Cb");
        assert_eq!(sent("https://[::1]:8443/a"), "https://[::1]:8443/a");
        assert_eq!(target("ftp://example.com/"), None);
    }
}
