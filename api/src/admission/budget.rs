//! A number of bytes of which each holder may have a share: [`Budget`].

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard},
};

/// The bytes that may be held, in all and by one holder.
#[derive(Debug)]
pub(super) struct Budget<K> {
    total: usize,
    share: usize,
    used: Arc<Mutex<Used<K>>>,
}

#[derive(Debug)]
struct Used<K> {
    total: usize,
    by_holder: HashMap<K, usize>,
}

/// Bytes that one holder has, returned when dropped.
#[derive(Debug)]
pub(super) struct Reservation<K: Copy + Eq + Hash> {
    budget: Budget<K>,
    holder: K,
    bytes: usize,
}

/// What a reservation would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exceeded {
    Share,
    Total,
}

impl<K: Copy + Eq + Hash> Budget<K> {
    pub(super) fn new(total: usize, share: usize) -> Self {
        let used = Used {
            total: 0,
            by_holder: HashMap::new(),
        };
        Self {
            total,
            share,
            used: Arc::new(Mutex::new(used)),
        }
    }

    pub(super) fn used(&self) -> usize {
        self.lock().total
    }

    /// An empty reservation.
    pub(super) fn reservation(&self, holder: K) -> Reservation<K> {
        let budget = Self {
            used: self.used.clone(),
            ..*self
        };
        Reservation {
            budget,
            holder,
            bytes: 0,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Used<K>> {
        self.used.lock().expect("no holder of this lock can panic")
    }
}

impl<K: Copy + Eq + Hash> Reservation<K> {
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Exceeded> {
        let mut used = self.budget.lock();
        if used.total + bytes > self.budget.total {
            return Err(Exceeded::Total);
        }
        let held = used.by_holder.entry(self.holder).or_default();
        if *held + bytes > self.budget.share {
            return Err(Exceeded::Share);
        }
        *held += bytes;
        used.total += bytes;
        drop(used);
        self.bytes += bytes;
        Ok(())
    }
}

impl<K: Copy + Eq + Hash> Drop for Reservation<K> {
    fn drop(&mut self) {
        let mut used = self.budget.lock();
        used.total -= self.bytes;
        if let Some(held) = used.by_holder.get_mut(&self.holder) {
            *held -= self.bytes;
            if *held == 0 {
                used.by_holder.remove(&self.holder);
            }
        }
    }
}
