//! Endpoint ids: each id has one spelling.

#![no_main]

use hookturn::domain::EndpointId;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(id) = text.parse::<EndpointId>() {
        assert_eq!(id.to_string(), text);
        assert_eq!(matches!(id, EndpointId::Uuid(_)), text.starts_with("we_"));
    }
});
