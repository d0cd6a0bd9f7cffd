//! Event patterns: each has one spelling and matches exactly the types that it should.

#![no_main]

use hookturn::domain::EventPattern;
use hookturn::domain::event::{MAX_PATTERN_LENGTH, is_event_type};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if is_event_type(text) {
        assert_eq!(text.parse(), Ok(EventPattern::Exact(text.into())));
    }
    let Ok(pattern) = text.parse::<EventPattern>() else {
        return;
    };
    assert_eq!(pattern.to_string(), text);
    assert!(text.len() <= MAX_PATTERN_LENGTH);
    match &pattern {
        EventPattern::All => assert!(pattern.matches("anything.at_all")),
        EventPattern::Exact(exact) => {
            assert!(is_event_type(exact) && pattern.matches(exact));
            assert!(!pattern.matches(&format!("{exact}.x")));
        }
        EventPattern::Prefix(prefix) => {
            assert!(is_event_type(prefix) && !pattern.matches(prefix));
            assert!(pattern.matches(&format!("{prefix}.x")));
            assert!(!pattern.matches(&format!("{prefix}x.y")));
        }
    }
});
