//! Parsing `Idempotency-Key`.

/// The most characters in a key.
pub const MAX_LENGTH: usize = 255;

/// A caller's idempotency key: 1 to 255 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(Box<str>);

/// Why a header's value is not an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// It is empty.
    #[error("must not be empty")]
    Empty,
    /// It has more than [`MAX_LENGTH`] characters.
    #[error("must be at most 255 characters")]
    TooLong,
    /// It has a space, a control character or a byte outside ASCII.
    #[error("must be visible ASCII characters without spaces")]
    NotVisibleAscii,
    /// It starts with a quote and is not a structured-field string (RFC 9651, section 3.3.3).
    #[error("starts with a quote but is not a quoted string")]
    BadQuotes,
    /// The header, or its `X-` form, was sent twice with different keys.
    #[error("was sent twice with different values")]
    Conflicting,
}

impl IdempotencyKey {
    /// Parses one header value: a bare key, or the same key as a quoted structured-field string
    /// (RFC 9651, section 3.3.3), which the `Idempotency-Key` Internet-Draft requires.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] when the value is not a key.
    pub fn parse(value: &[u8]) -> Result<Self, InvalidKey> {
        let key = match value {
            [b'"', quoted @ ..] => unquote(quoted)?,
            bare => bare.to_vec(),
        };
        if key.is_empty() {
            return Err(InvalidKey::Empty);
        }
        if key.len() > MAX_LENGTH {
            return Err(InvalidKey::TooLong);
        }
        if !key.iter().all(u8::is_ascii_graphic) {
            return Err(InvalidKey::NotVisibleAscii);
        }
        String::from_utf8(key)
            .map(|key| Self(key.into()))
            .map_err(|_| InvalidKey::NotVisibleAscii)
    }

    /// Parses all values of the headers that may carry the key. Returns the key, if there is one.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] when a value is not a key, or two values are different keys.
    pub fn parse_all<'a>(
        values: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Option<Self>, InvalidKey> {
        let mut found: Option<Self> = None;
        for value in values {
            let key = Self::parse(value)?;
            match &found {
                Some(other) if *other != key => return Err(InvalidKey::Conflicting),
                _ => found = Some(key),
            }
        }
        Ok(found)
    }

    /// Returns the key's characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Unescapes a structured-field string whose opening quote has been read.
fn unquote(quoted: &[u8]) -> Result<Vec<u8>, InvalidKey> {
    let mut key = Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter();
    loop {
        match bytes.next() {
            Some(b'"') if bytes.as_slice().is_empty() => return Ok(key),
            Some(b'\\') => match bytes.next() {
                Some(escaped @ (b'"' | b'\\')) => key.push(*escaped),
                _ => return Err(InvalidKey::BadQuotes),
            },
            Some(b'"') | None => return Err(InvalidKey::BadQuotes),
            Some(byte) => key.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(value: &[u8]) -> Result<String, InvalidKey> {
        IdempotencyKey::parse(value).map(|key| key.as_str().to_owned())
    }

    #[test]
    fn what_is_not_a_key_is_told_apart() {
        assert_eq!(key(b""), Err(InvalidKey::Empty));
        assert_eq!(key(br#""""#), Err(InvalidKey::Empty));
        assert_eq!(key(b"a b"), Err(InvalidKey::NotVisibleAscii));
        assert_eq!(key(br#""a b""#), Err(InvalidKey::NotVisibleAscii));
        assert_eq!(key("é".as_bytes()), Err(InvalidKey::NotVisibleAscii));
        assert_eq!(key(b"\xff"), Err(InvalidKey::NotVisibleAscii));
        assert_eq!(key(&[b'a'; 256]), Err(InvalidKey::TooLong));
        for value in [
            &br#"""#[..],
            br#""a"#,
            br#""a"b"#,
            br#""a";p=1"#,
            br#""\a""#,
            br#""a\"#,
        ] {
            assert_eq!(key(value), Err(InvalidKey::BadQuotes), "{value:?}");
        }
    }

    #[test]
    fn two_headers_may_agree_but_not_differ() {
        let both = |a: &'static str, b: &'static str| {
            IdempotencyKey::parse_all([a.as_bytes(), b.as_bytes()].into_iter())
                .map(|key| key.map(|key| key.as_str().to_owned()))
        };
        assert_eq!(both("k", "\"k\""), Ok(Some("k".to_owned())));
        assert_eq!(both("k", "K"), Err(InvalidKey::Conflicting));
        assert_eq!(IdempotencyKey::parse_all(std::iter::empty()), Ok(None));
    }

    proptest! {
        #[test]
        fn bare_and_quoted_are_the_same_key(text in "[!-~]{1,255}") {
            let quoted = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
            prop_assert_eq!(key(quoted.as_bytes()), Ok(text.clone()));
            if !text.starts_with('"') {
                prop_assert_eq!(key(text.as_bytes()), Ok(text));
            }
        }

        #[test]
        fn any_bytes_are_a_key_or_an_error(value in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(key) = key(&value) {
                prop_assert!((1..=MAX_LENGTH).contains(&key.len()));
                prop_assert!(key.bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }
}
