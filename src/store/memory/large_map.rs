//! A hash map that never moves all of its entries at once.
//!
//! A `HashMap` that is full moves its entries into a larger one, which takes a tenth of a second
//! for a million deliveries. Everybody would wait for it. So here the entries are in many small
//! maps, each of which moves its own.

use std::hash::{BuildHasher as _, Hash, RandomState};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// How many maps there are: as many as a byte has values. Of a million deliveries, each has four
/// thousand, which it moves in less than a millisecond.
const PARTS: usize = 256;

/// A hash map for very many entries.
pub(super) struct LargeMap<K, V> {
    parts: Box<[HashTable<(K, V)>]>,
    hasher: RandomState,
}

impl<K: Eq + Hash, V> Default for LargeMap<K, V> {
    fn default() -> Self {
        Self {
            parts: (0..PARTS).map(|_| HashTable::new()).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl<K: Eq + Hash, V> LargeMap<K, V> {
    /// Returns the value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        let hash = self.hasher.hash_one(key);
        let found = self.parts[part_of(hash)].find(hash, |(k, _)| k == key);
        found.map(|(_, value)| value)
    }

    /// Returns the value of a key, to change it.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let hash = self.hasher.hash_one(key);
        let found = self.parts[part_of(hash)].find_mut(hash, |(k, _)| k == key);
        found.map(|(_, value)| value)
    }

    /// Returns the value of a key, to change it. A key that is not there gets the default value.
    pub fn get_or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        let entry = self.entry(&key).or_insert_with(|| (key, V::default()));
        &mut entry.into_mut().1
    }

    /// Sets the value of a key.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.entry(&key) {
            Entry::Occupied(mut entry) => Some(std::mem::replace(&mut entry.get_mut().1, value)),
            Entry::Vacant(entry) => {
                entry.insert((key, value));
                None
            }
        }
    }

    /// Removes a key.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        match self.entry(key) {
            Entry::Occupied(entry) => Some(entry.remove().0.1),
            Entry::Vacant(_) => None,
        }
    }

    fn entry(&mut self, key: &K) -> Entry<'_, (K, V)> {
        let hash = self.hasher.hash_one(key);
        let hasher = &self.hasher;
        let part = &mut self.parts[part_of(hash)];
        part.entry(hash, |(k, _)| k == key, |(k, _)| hasher.hash_one(k))
    }
}

/// Returns the part of a key with this hash. `HashTable` uses the lowest and the highest bits, so
/// this byte is one of those between.
fn part_of(hash: u64) -> usize {
    let [.., byte, _] = hash.to_le_bytes();
    usize::from(byte)
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
        *map.get_or_default(COUNT) += 1;
        *map.get_or_default(COUNT) += 1;
        assert_eq!(map.remove(&3), Some(3));
        assert_eq!(
            [1, 2, 3, COUNT].map(|n| map.get(&n).copied()),
            [Some(7), Some(3), None, Some(2)]
        );
    }
}
