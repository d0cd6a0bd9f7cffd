//! A hash map that never moves all of its entries at once.
//!
//! A `HashMap` that is full moves its entries into a larger one, which takes a tenth of a second
//! for a million deliveries. Everybody would wait for it. So here the entries are in many small
//! maps, each of which moves its own.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::{BuildHasher as _, Hash};

/// How many maps there are: as many as a byte has values. Of a million deliveries, each has four
/// thousand, which it moves in less than a millisecond.
const PARTS: usize = 256;

/// A hash map for very many entries.
pub(super) struct LargeMap<K, V> {
    parts: Box<[HashMap<K, V>]>,
    hasher: RandomState,
}

impl<K: Eq + Hash, V> Default for LargeMap<K, V> {
    fn default() -> Self {
        Self {
            parts: (0..PARTS).map(|_| HashMap::new()).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl<K: Eq + Hash, V> LargeMap<K, V> {
    /// Returns the value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.parts[self.part_of(key)].get(key)
    }

    /// Returns the value of a key, to change it.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.part(key).get_mut(key)
    }

    /// Returns the place of a key, which may be empty.
    pub fn entry(&mut self, key: K) -> Entry<'_, K, V> {
        self.part(&key).entry(key)
    }

    /// Sets the value of a key.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.part(&key).insert(key, value)
    }

    /// Removes a key.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.part(key).remove(key)
    }

    fn part(&mut self, key: &K) -> &mut HashMap<K, V> {
        let part = self.part_of(key);
        &mut self.parts[part]
    }

    fn part_of(&self, key: &K) -> usize {
        // Each `HashMap` hashes with keys of its own, so its entries are spread in it, too.
        let [byte, ..] = self.hasher.hash_one(key).to_le_bytes();
        usize::from(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_and_no_part_has_many() {
        const COUNT: usize = 100_000;
        let mut map = LargeMap::default();
        for n in 0..COUNT {
            assert_eq!(map.insert(n, n), None);
        }
        assert!(map.parts.iter().all(|part| part.len() < 2 * COUNT / PARTS));
        assert_eq!(map.insert(1, 7), Some(1));
        *map.get_mut(&2).expect("it is there") += 1;
        *map.entry(COUNT).or_insert(0) += 1;
        assert_eq!(map.remove(&3), Some(3));
        assert_eq!(
            [1, 2, 3, COUNT].map(|n| map.get(&n).copied()),
            [Some(7), Some(3), None, Some(1)]
        );
    }
}
