//! How many streams each user has open: [`Streams`]. Per process, for it bounds what one user costs a process.

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

/// The right to one stream, given back by its end.
#[derive(Debug)]
pub struct Place {
    streams: Streams,
    user: User,
}

impl Streams {
    /// `None` if the session's user has `most` already.
    pub fn enter(&self, session: &Session, most: usize) -> Option<Place> {
        let user = (session.tenant, session.user);
        let mut open = self.lock();
        let count = open.entry(user).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        drop(open);
        let streams = self.clone();
        Some(Place { streams, user })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<User, usize>> {
        self.0.lock().expect("no holder of this lock can panic")
    }
}

impl Drop for Place {
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
