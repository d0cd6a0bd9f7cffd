//! Events, and the patterns by which endpoints subscribe to event types.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::id::{EventId, TraceId};
use super::time::Timestamp;

/// The most characters in an event type or pattern.
pub const MAX_PATTERN_LENGTH: usize = 128;

/// Something that happened, without its data. This is all that lists and answers show of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventHead {
    /// Its id, chosen by the caller or generated. It is the same on every delivery and retry.
    pub id: EventId,
    /// Its type; see [`is_event_type`].
    pub event_type: Box<str>,
    /// The trace of the request that published it.
    pub trace_id: TraceId,
    /// When it was accepted.
    pub created_at: Timestamp,
}

/// Something that happened, which is sent to the endpoints that subscribe to its type.
///
/// `Debug` hides the data, which is the caller's and may be confidential.
#[derive(Clone, PartialEq, Eq)]
pub struct Event {
    /// Everything but the data.
    pub head: Arc<EventHead>,
    /// The JSON text of an object, as the caller sent it.
    pub data: Box<str>,
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, length) = (self.head.id.as_str(), self.data.len());
        write!(f, "Event({id}, {}, {length} bytes)", self.head.event_type)
    }
}

/// A pattern of event types to which an endpoint subscribes: one entry of its `events`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EventPattern {
    /// `*`: every type.
    All,
    /// `prefix.*`: every type that starts with `prefix.`. Holds the prefix without the dot.
    Prefix(Box<str>),
    /// One exact type.
    Exact(Box<str>),
}

/// The text is not an event pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an event pattern")]
pub struct NotAPattern;

/// Returns whether `text` is an event type: words of `[A-Za-z0-9_]` joined by single dots, at most
/// [`MAX_PATTERN_LENGTH`] characters.
#[must_use]
pub fn is_event_type(text: &str) -> bool {
    text.len() <= MAX_PATTERN_LENGTH
        && text.split('.').all(|word| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        })
}

impl EventPattern {
    /// Returns every pattern that [matches](Self::matches) `event_type`: the keys under which to
    /// look up the endpoints that subscribe to it.
    pub fn matching(event_type: &str) -> impl Iterator<Item = Self> {
        let prefixes = event_type
            .match_indices('.')
            .map(|(end, _)| Self::Prefix(event_type[..end].into()));
        [Self::All, Self::Exact(event_type.into())]
            .into_iter()
            .chain(prefixes)
    }

    /// Returns whether the pattern includes `event_type`. Case matters.
    #[must_use]
    pub fn matches(&self, event_type: &str) -> bool {
        match self {
            Self::All => true,
            Self::Prefix(prefix) => event_type
                .strip_prefix(&**prefix)
                .is_some_and(|rest| rest.starts_with('.')),
            Self::Exact(exact) => **exact == *event_type,
        }
    }
}

impl FromStr for EventPattern {
    type Err = NotAPattern;

    fn from_str(text: &str) -> Result<Self, NotAPattern> {
        if text == "*" {
            return Ok(Self::All);
        }
        if text.len() > MAX_PATTERN_LENGTH {
            return Err(NotAPattern);
        }
        match text.strip_suffix(".*") {
            Some(prefix) if is_event_type(prefix) => Ok(Self::Prefix(prefix.into())),
            None if is_event_type(text) => Ok(Self::Exact(text.into())),
            _ => Err(NotAPattern),
        }
    }
}

impl fmt::Display for EventPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Prefix(prefix) => write!(f, "{prefix}.*"),
            Self::Exact(exact) => f.write_str(exact),
        }
    }
}

impl serde::Serialize for EventPattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_prefix_ends_at_a_dot() {
        let pattern: EventPattern = "call.*".parse().expect("a pattern");
        assert!(pattern.matches("call.started"));
        assert!(pattern.matches("call.leg.started"));
        assert!(!pattern.matches("call"));
        assert!(!pattern.matches("caller.id"));
        assert!(!pattern.matches("Call.started"));
    }

    #[test]
    fn debug_output_hides_the_data() {
        let event = Event {
            head: Arc::new(EventHead {
                id: "evt_1".parse().expect("an id"),
                event_type: "a.b".into(),
                trace_id: TraceId::from_bits(1),
                created_at: Timestamp::from_millis(0),
            }),
            data: r#"{"card":"4111"}"#.into(),
        };
        assert_eq!(format!("{event:?}"), "Event(evt_1, a.b, 15 bytes)");
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for text in [
            "", ".", "a.", ".a", "a..b", "a b", "a.*.b", "**", "*.a", ".*", "é",
        ] {
            assert_eq!(text.parse::<EventPattern>(), Err(NotAPattern), "{text:?}");
        }
        assert!("a".repeat(129).parse::<EventPattern>().is_err());
    }

    proptest! {
        #[test]
        fn whatever_parses_prints_the_same(text in "[a-zA-Z0-9_.*]{0,12}|\\PC*") {
            if let Ok(pattern) = text.parse::<EventPattern>() {
                prop_assert_eq!(pattern.to_string(), text);
            }
        }

        #[test]
        fn an_exact_pattern_matches_itself_and_its_prefixes_do(words in prop::collection::vec("[a-z0-9_]{1,5}", 2..5)) {
            let event_type = words.join(".");
            let exact: EventPattern = event_type.parse().expect("an event type");
            prop_assert!(exact.matches(&event_type));
            for pattern in EventPattern::matching(&event_type) {
                prop_assert!(pattern.matches(&event_type));
            }
            prop_assert_eq!(EventPattern::matching(&event_type).count(), words.len() + 1);
            for end in 1..words.len() {
                let prefix: EventPattern = format!("{}.*", words[..end].join(".")).parse().expect("a prefix");
                prop_assert!(prefix.matches(&event_type));
            }
        }
    }
}
