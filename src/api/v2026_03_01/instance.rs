//! Turns the path of a request into a URI reference: `instance` in problem documents.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The characters that must be percent-encoded in the path of a URI (RFC 3986, section 3.3). The
/// percent sign is handled separately.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@')
    .remove(b'/')
    .remove(b'%');

/// Returns a URI reference that names `path`, the path of a request as it was sent, on this server.
///
/// Valid percent-encoded characters stay as they are. If there are two slashes at the start, the
/// second is encoded: `//host/x` would be a reference to another host (RFC 3986, section 4.2).
#[must_use]
pub fn instance(path: &str) -> Cow<'_, str> {
    let encoded: Cow<'_, str> = utf8_percent_encode(path, ENCODED).into();
    let is_code = |rest: &str| {
        let code = rest.as_bytes().get(..2);
        code.is_some_and(|code| code.iter().all(u8::is_ascii_hexdigit))
    };
    let has_stray_percent = encoded.split('%').skip(1).any(|rest| !is_code(rest));
    let names_a_host = encoded.starts_with("//");
    if !has_stray_percent && !names_a_host {
        return encoded;
    }
    let mut instance = String::with_capacity(encoded.len() + 8);
    let mut rest = &*encoded;
    if let Some(path) = rest.strip_prefix("//") {
        instance.push_str("/%2F");
        rest = path;
    }
    for (place, piece) in rest.split('%').enumerate() {
        if place > 0 {
            instance.push_str(if is_code(piece) { "%" } else { "%25" });
        }
        instance.push_str(piece);
    }
    instance.into()
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;
    use url::Url;

    use super::*;

    #[test]
    fn a_path_becomes_a_reference_to_itself() {
        for (path, expected) in [
            ("/webhooks/endpoints/we_1/secret/rotate", None),
            ("/a%20b/%7Bid%7D;x=1,2:@/~!$&'()*+", None),
            ("/", None),
            ("*", None),
            ("", None),
            ("/x//y", None),
            ("/..//y", None),
            ("/{id}", Some("/%7Bid%7D")),
            ("//evil.example/x", Some("/%2Fevil.example/x")),
            ("///evil.example", Some("/%2F/evil.example")),
            ("//", Some("/%2F")),
            ("//%", Some("/%2F%25")),
            ("/\\evil.example", Some("/%5Cevil.example")),
            ("/é", Some("/%C3%A9")),
            ("/%", Some("/%25")),
            ("/%2", Some("/%252")),
            ("/%zz%41", Some("/%25zz%41")),
            ("/%é", Some("/%25%C3%A9")),
            ("/\"<>^`|[]#?", Some("/%22%3C%3E%5E%60%7C%5B%5D%23%3F")),
        ] {
            assert_eq!(instance(path), expected.unwrap_or(path), "{path}");
        }
    }

    proptest! {
        #[test]
        fn it_is_always_a_reference_to_the_same_path_of_this_server(path in "/{1,3}([/.%{\\\\@:a-f0-9]|\\PC){0,20}") {
            let instance = instance(&path);
            let mut rest = instance.split('%');
            let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte));
            prop_assert!(rest.next().is_some_and(is_plain), "{instance}");
            for piece in rest {
                prop_assert!(piece.len() >= 2 && u8::from_str_radix(&piece[..2], 16).is_ok(), "{instance}");
                prop_assert!(is_plain(&piece[2..]), "{instance}");
            }
            // The instance encodes the same bytes as the path.
            prop_assert!(percent_decode_str(&instance).eq(percent_decode_str(&path)));

            for base in ["https://hookturn.test", "http://hookturn.test:8080/api/x"] {
                let base = Url::parse(base).expect("a URL");
                let resolved = base.join(&instance).expect("a URI reference");
                prop_assert_eq!(resolved.origin(), base.origin());
                prop_assert_eq!((resolved.username(), resolved.query(), resolved.fragment()), ("", None, None));
            }
        }
    }
}
