//! Records by number, bounded: a soak of any length keeps the same memory.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Keeps the latest `capacity` records; gives up the one that finished first, and one that has
/// not finished only when none has.
#[derive(Debug)]
pub(crate) struct Store<T> {
    capacity: usize,
    records: Mutex<Records<T>>,
}

#[derive(Debug)]
struct Records<T> {
    by_id: BTreeMap<u64, T>,
    finished: VecDeque<u64>,
    next_id: u64,
}

impl<T: Clone> Store<T> {
    /// An empty store; a capacity of zero keeps one record.
    pub(crate) fn new(capacity: usize) -> Self {
        let records = Records { by_id: BTreeMap::new(), finished: VecDeque::new(), next_id: 1 };
        Self { capacity: capacity.max(1), records: Mutex::new(records) }
    }

    /// Opens a record and returns its number; numbers start at one and rise.
    pub(crate) fn open(&self, record: T) -> u64 {
        let mut records = self.lock();
        if records.by_id.len() >= self.capacity {
            let oldest = records.by_id.first_key_value().map(|(id, _)| *id);
            if let Some(id) = records.finished.pop_front().or(oldest) {
                records.by_id.remove(&id);
            }
        }
        let id = records.next_id;
        records.next_id += 1;
        records.by_id.insert(id, record);
        id
    }

    /// Changes a record that goes on; one that was given up is left alone.
    pub(crate) fn update(&self, id: u64, change: impl FnOnce(&mut T)) {
        if let Some(record) = self.lock().by_id.get_mut(&id) {
            change(record);
        }
    }

    /// Changes a record for the last time.
    pub(crate) fn finish(&self, id: u64, change: impl FnOnce(&mut T)) {
        let mut records = self.lock();
        if let Some(record) = records.by_id.get_mut(&id) {
            change(record);
            records.finished.push_back(id);
        }
    }

    /// Forgets a record that never came to be.
    pub(crate) fn withdraw(&self, id: u64) {
        self.lock().by_id.remove(&id);
    }

    pub(crate) fn get(&self, id: u64) -> Option<T> {
        self.lock().by_id.get(&id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Records<T>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_to_finish_is_the_first_to_go() {
        let store = Store::new(3);
        let [first, second, third] = ["a", "b", "c"].map(|name| store.open(name));
        store.finish(second, |_| {});
        let fourth = store.open("d");
        assert_eq!(store.get(second), None);
        assert_eq!([first, third, fourth].map(|id| store.get(id)), ["a", "c", "d"].map(Some));
    }

    #[test]
    fn a_store_full_of_unfinished_records_gives_up_the_oldest() {
        let store = Store::new(2);
        let [first, second, third] = ["a", "b", "c"].map(|name| store.open(name));
        assert_eq!([first, second, third].map(|id| store.get(id)), [None, Some("b"), Some("c")]);
    }
}
