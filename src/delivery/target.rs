//! The URL of an endpoint, as it is dialled and sent.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use hyper::Uri;
use parking_lot::Mutex;
use url::{Position, Url};

/// The URL that a request goes to; `None` where no request can be made.
///
/// The host is the parser's, which turns every spelling into one: `0x7f.1` is `127.0.0.1`,
/// `bücher.example` is in Punycode. The path has no dot segments, and what is no character of a path or
/// query (RFC 3986, sections 3.3 and 3.4) is percent-encoded, a `%` without two hex digits too: many
/// servers refuse a request with one of those. Nothing else is changed.
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
        // As it was written, since the parser encodes `'` in a query, which is a sound character of it.
        let text = text.split('#').next().unwrap_or_default();
        push_encoded(&mut target, text.split_once('?').unwrap_or_default().1);
    }
    Uri::try_from(target).ok()
}

/// The URLs that were parsed lately: an endpoint's is used again and again. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Targets(Arc<Mutex<HashMap<Box<str>, Uri>>>);

/// How many URLs are kept; then all are forgotten.
const MOST_TARGETS: usize = 4096;

impl Targets {
    /// As [`target`].
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

/// Writes a path or query with what is none of its characters percent-encoded.
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
