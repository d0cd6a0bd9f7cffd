//! `Idempotency-Key`: an accepted value is a valid key, and its quoted form is the same key.

#![no_main]

use hookturn::idempotency::IdempotencyKey;
use hookturn::idempotency::key::MAX_LENGTH;

libfuzzer_sys::fuzz_target!(|value: &[u8]| {
    let Ok(key) = IdempotencyKey::parse(value) else {
        return;
    };
    let text = key.as_str();
    assert!((1..=MAX_LENGTH).contains(&text.len()));
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
    if value.first() != Some(&b'"') {
        assert_eq!(text.as_bytes(), value, "a bare key is taken as it is");
    }

    let mut quoted = String::from("\"");
    for char in text.chars() {
        if matches!(char, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(char);
    }
    quoted.push('"');
    assert_eq!(IdempotencyKey::parse(quoted.as_bytes()), Ok(key.clone()));
    let both = [value, quoted.as_bytes()];
    assert_eq!(
        IdempotencyKey::parse_all(both.into_iter()),
        Ok(Some(key)),
        "both forms in one request agree"
    );
});
