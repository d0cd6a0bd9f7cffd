//! `traceparent`: a trace id is read only from its place, and is never zero.

#![no_main]

use hookturn::domain::TraceId;

libfuzzer_sys::fuzz_target!(|value: &[u8]| {
    let Some(trace_id) = TraceId::parse(value) else {
        return;
    };
    let shown = trace_id.to_string();
    assert_eq!(shown.as_bytes(), &value[3..35]);
    assert!(shown.bytes().any(|digit| digit != b'0'));
    assert!(value.len() == 55 || (value[55] == b'-' && !value.starts_with(b"00")));
    assert!(!value.starts_with(b"ff"));
    // The same id in the form that every version has.
    let again = format!("00-{shown}-00f067aa0ba902b7-01");
    assert_eq!(TraceId::parse(again.as_bytes()), Some(trace_id));
});
