//! The digest of an event's data: every JSON text has one, and texts that `serde_json` finds
//! different have different ones.

#![no_main]

use hookturn::domain::data_digest::data_digest;
use serde::de::IgnoredAny;
use serde_json::Value;

// Two texts, with the first line end between them.
libfuzzer_sys::fuzz_target!(|texts: &str| {
    let (one, other) = texts.split_once('\n').unwrap_or((texts, texts));
    for text in [one, other] {
        let is_json = serde_json::from_str::<IgnoredAny>(text).is_ok();
        let digest = data_digest(text);
        assert_eq!(digest.is_some(), is_json);
        assert_eq!(digest, data_digest(&format!("\t{text} ")));
    }
    if data_digest(one).is_some() && data_digest(one) == data_digest(other) {
        let value = |text| serde_json::from_str::<Value>(text).ok();
        assert_eq!(value(one), value(other));
    }
});
