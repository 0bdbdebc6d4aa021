//! How many sessions one account may have at once in a process: [`Slots`]. Servers allow an account few of them (Dovecot 10, Gmail
//! 15) to all its programs together, and refuse the log-in of the next.

use jobs::domain::ConnectionId;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, Weak},
};
use tokio::sync::Semaphore;

/// Sessions of one account at once.
const SESSIONS: usize = 3;

/// The slots of all accounts; clones share them.
#[derive(Clone, Debug, Default)]
pub(in crate::providers) struct Slots(Arc<Mutex<HashMap<ConnectionId, Weak<Semaphore>>>>);

impl Slots {
    /// Returns the slots of an account.
    pub(in crate::providers) fn of(&self, connection: ConnectionId) -> Arc<Semaphore> {
        let mut all = self.0.lock().expect("no holder of this lock can panic");
        if let Some(slots) = all.get(&connection).and_then(Weak::upgrade) {
            return slots;
        }
        // Nobody uses those of the others that are gone.
        all.retain(|_, slots| slots.strong_count() > 0);
        let slots = Arc::new(Semaphore::new(SESSIONS));
        all.insert(connection, Arc::downgrade(&slots));
        slots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_shares_its_slots_while_they_are_used() {
        let slots = Slots::default();
        let (ours, theirs) = (ConnectionId::new(), ConnectionId::new());
        let used = slots.of(ours);
        assert!(Arc::ptr_eq(&used, &slots.clone().of(ours)));
        assert!(!Arc::ptr_eq(&used, &slots.of(theirs)));
        assert_eq!(used.available_permits(), SESSIONS);
        drop(used);
        slots.of(theirs);
        assert_eq!(slots.0.lock().unwrap().len(), 1);
    }
}
