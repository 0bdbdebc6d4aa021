//! How many of something each user or tenant has: [`Slots`]. Counted per process: it bounds what one of them costs a process.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard},
};

/// The slots that are taken, by their holder.
pub struct Slots<K>(Arc<Mutex<HashMap<K, usize>>>);

/// The right to one of them, returned when dropped.
pub struct Slot<K: Copy + Eq + Hash> {
    slots: Slots<K>,
    holder: K,
}

impl<K: Copy + Eq + Hash> Slots<K> {
    /// Takes a slot; `None` if the holder has `max` already.
    pub fn enter(&self, holder: K, max: usize) -> Option<Slot<K>> {
        let mut taken = self.lock();
        let count = taken.entry(holder).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        drop(taken);
        let slots = self.clone();
        Some(Slot { slots, holder })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.0.lock().expect("no holder of this lock can panic")
    }
}

impl<K> Clone for Slots<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K> Default for Slots<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K> fmt::Debug for Slots<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slots").finish_non_exhaustive()
    }
}

impl<K: Copy + Eq + Hash> Drop for Slot<K> {
    fn drop(&mut self) {
        let mut taken = self.slots.lock();
        if let Some(count) = taken.get_mut(&self.holder) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.holder);
            }
        }
    }
}

impl<K: Copy + Eq + Hash> fmt::Debug for Slot<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_counted_by_holder_and_returned() {
        let slots = Slots::default();
        let first = slots.enter("ada", 2).unwrap();
        let _second = slots.enter("ada", 2).unwrap();
        assert!(slots.enter("ada", 2).is_none());
        let eve = slots.enter("eve", 2);
        assert!(eve.is_some());
        drop(first);
        assert!(slots.enter("ada", 2).is_some());
        drop(eve);
        assert!(!slots.lock().contains_key("eve"));
    }
}
