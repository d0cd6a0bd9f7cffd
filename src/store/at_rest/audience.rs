//! Encodes the audience of an event: the numbers of the endpoints that get it.
//!
//! They are stored as the differences between one number and the next, in JSON. Most numbers follow
//! each other closely, so 10,000 endpoints take about 20 kB.

use super::codec::Damaged;

/// Encodes numbers that are in ascending order.
pub(in crate::store) fn audience_to_bytes(endpoints: &[i64]) -> Result<Vec<u8>, Damaged> {
    let before = std::iter::once(&0).chain(endpoints);
    let steps = endpoints.iter().zip(before);
    let steps: Vec<i64> = steps.map(|(endpoint, before)| endpoint - before).collect();
    serde_json::to_vec(&steps).map_err(|_| Damaged("the audience of an event"))
}

/// Decodes the numbers.
pub(in crate::store) fn audience_from(bytes: &[u8]) -> Result<Vec<i64>, Damaged> {
    let damaged = || Damaged("the audience of an event");
    let steps: Vec<i64> = serde_json::from_slice(bytes).map_err(|_| damaged())?;
    let mut last = 0_i64;
    let number = |step: i64| {
        // Numbers ascend. So damage cannot make an endpoint get an event twice.
        last = last.checked_add(step).filter(|next| *next > last)?;
        Some(last)
    };
    let numbers = steps.into_iter().map(number);
    numbers.collect::<Option<_>>().ok_or_else(damaged)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(endpoints in prop::collection::btree_set(1..i64::MAX, 0..100)) {
            let endpoints: Vec<i64> = BTreeSet::into_iter(endpoints).collect();
            let bytes = audience_to_bytes(&endpoints).expect("it encodes");
            prop_assert_eq!(audience_from(&bytes), Ok(endpoints));
        }

        #[test]
        fn damage_never_names_an_endpoint_twice(bytes in prop::collection::vec(any::<u8>(), 0..50)) {
            if let Ok(endpoints) = audience_from(&bytes) {
                prop_assert!(endpoints.is_sorted_by(|before, after| before < after));
            }
        }
    }

    #[test]
    fn repeated_falling_and_enormous_numbers_are_damage() {
        for bytes in [
            "[1,0]",
            "[5,-3]",
            "[9223372036854775807,1]",
            "[1.5]",
            "{}",
            "[0]",
        ] {
            assert!(audience_from(bytes.as_bytes()).is_err(), "{bytes}");
        }
    }
}
