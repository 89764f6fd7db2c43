//! Jobs that take turns, one for each key. Pure. Called by `queue`.

use std::collections::BTreeMap;

/// Orders jobs by when they came: one that is put back with its own keeps its place.
pub type Ticket = u64;

/// Jobs that take turns.
pub struct Ring<K, T> {
    keys: BTreeMap<Ticket, K>,
    things: BTreeMap<K, (Ticket, T)>,
    last: Ticket,
}

impl<K, T> Default for Ring<K, T> {
    fn default() -> Ring<K, T> {
        Ring { keys: BTreeMap::new(), things: BTreeMap::new(), last: 0 }
    }
}

impl<K: Ord + Clone, T> Ring<K, T> {
    /// Puts a job in, in place of one with the same key, which is given back.
    pub fn put(&mut self, ticket: Ticket, key: K, thing: T) -> Option<T> {
        if let Some((_, earlier)) = self.things.get_mut(&key) {
            return Some(std::mem::replace(earlier, thing));
        }
        self.keys.insert(ticket, key.clone());
        self.things.insert(key, (ticket, thing));
        None
    }

    /// The job with this key.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut T> {
        self.things.get_mut(key).map(|(_, thing)| thing)
    }

    /// Takes a job out.
    pub fn remove(&mut self, key: &K) -> Option<T> {
        let (ticket, thing) = self.things.remove(key)?;
        self.keys.remove(&ticket);
        Some(thing)
    }

    /// Takes out the one whose turn it is among the `most` oldest.
    pub fn take(&mut self, most: usize) -> Option<(Ticket, K, T)> {
        let oldest = || self.keys.keys().take(most);
        let ticket = oldest().find(|ticket| **ticket > self.last).or_else(|| oldest().next()).copied()?;
        self.last = ticket;
        let key = self.keys.remove(&ticket)?;
        let (_, thing) = self.things.remove(&key)?;
        Some((ticket, key, thing))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.things.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_take_turns_and_the_next_one_moves_up_when_one_is_over() {
        let mut ring = Ring::default();
        for ticket in 1..=4 {
            ring.put(ticket, ticket, ());
        }
        let mut turns = Vec::new();
        for turn in 0..8 {
            let (ticket, key, ()) = ring.take(2).unwrap();
            turns.push(key);
            if turn != 3 {
                ring.put(ticket, key, ());
            }
        }
        assert_eq!(turns, [1, 2, 1, 2, 3, 1, 3, 1]);
    }

    #[test]
    fn a_key_is_there_once_and_keeps_its_place() {
        let mut ring = Ring::default();
        assert_eq!(ring.put(1, "a", 1), None);
        assert_eq!(ring.put(2, "b", 2), None);
        assert_eq!(ring.put(3, "a", 3), Some(1));
        assert_eq!(ring.take(9), Some((1, "a", 3)));
        assert_eq!(ring.take(9), Some((2, "b", 2)));
        assert!(ring.take(9).is_none() && ring.is_empty());
    }
}
