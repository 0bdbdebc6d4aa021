//! How many event streams each user has open: [`Streams`]. Counted per process: it bounds what one user costs a process.

use base::TenantId;
use jobs::domain::{Session, UserId};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

type User = (TenantId, UserId);

/// The open streams of all users.
#[derive(Clone, Debug, Default)]
pub struct Streams(Arc<Mutex<HashMap<User, usize>>>);

/// The right to one stream, returned when dropped.
#[derive(Debug)]
pub struct StreamSlot {
    streams: Streams,
    user: User,
}

impl Streams {
    /// Takes a slot; `None` if the session's user has `max` already.
    pub fn enter(&self, session: &Session, max: usize) -> Option<StreamSlot> {
        let user = (session.tenant, session.user);
        let mut open = self.lock();
        let count = open.entry(user).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        drop(open);
        let streams = self.clone();
        Some(StreamSlot { streams, user })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<User, usize>> {
        self.0.lock().expect("no holder of this lock can panic")
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        let mut open = self.streams.lock();
        if let Some(count) = open.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.user);
            }
        }
    }
}
