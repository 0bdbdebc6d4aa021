//! The leases this process holds, from the claim to the settle.

use crate::Lease;
use base::JobId;
use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

/// Every lease with the moment it ends unless renewed, by this process's own clock.
#[derive(Default)]
pub struct Held {
    leases: Mutex<HashMap<Lease, Entry>>,
    emptied: Notify,
}

struct Entry {
    until: Instant,
    word: Word,
}

/// What a holder may hear while it works.
#[derive(Clone, Debug, Default)]
pub struct Word {
    /// The lease was taken over: write nothing more.
    pub lost: CancellationToken,
    /// Nobody wants the job any more.
    pub cancelled: CancellationToken,
}

impl Held {
    /// Remembers a lease claimed at `claimed_at`, a moment before the claim was sent.
    pub fn add(&self, lease: Lease, claimed_at: Instant, length: Duration) -> Word {
        let word = Word::default();
        self.lock().insert(
            lease,
            Entry {
                until: claimed_at + length,
                word: word.clone(),
            },
        );
        word
    }

    /// Passes on that nobody wants the job any more; of a job that is not held it is no news.
    pub fn cancel(&self, job: JobId) {
        for (lease, entry) in self.lock().iter() {
            if lease.job == job {
                entry.word.cancelled.cancel();
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Forgets a lease whose attempt ended.
    pub fn remove(&self, lease: &Lease) {
        let mut leases = self.lock();
        leases.remove(lease);
        if leases.is_empty() {
            self.emptied.notify_waiters();
        }
    }

    /// Waits until no lease is held: every attempt was settled or lost.
    pub async fn drained(&self) {
        loop {
            // Registered before the look, or the last lease could go between the two.
            let emptied = self.emptied.notified();
            if self.lock().is_empty() {
                return;
            }
            emptied.await;
        }
    }

    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// The leases that end before then, in the order in which settles take their jobs, too.
    pub fn due(&self, then: Instant) -> Vec<Lease> {
        let leases = self.lock();
        let due = leases.iter().filter(|(_, entry)| entry.until < then);
        let mut due: Vec<Lease> = due.map(|(lease, _)| *lease).collect();
        due.sort_unstable_by_key(|lease| (lease.tenant, lease.job));
        due
    }

    /// Takes in a renewal that was sent at `asked_at`: those asked for and not kept are lost.
    pub fn renewed(
        &self,
        asked: &[Lease],
        kept: &HashSet<Lease>,
        asked_at: Instant,
        length: Duration,
    ) {
        let mut leases = self.lock();
        for lease in asked {
            if kept.contains(lease) {
                if let Some(entry) = leases.get_mut(lease) {
                    entry.until = asked_at + length;
                }
            } else if let Some(entry) = leases.remove(lease) {
                entry.word.lost.cancel();
            }
        }
        if leases.is_empty() {
            self.emptied.notify_waiters();
        }
    }

    /// Gives up what nobody renewed in time, for example because the database was away: another worker may have it, and
    /// an effect must not happen in two places.
    pub fn expire(&self, now: Instant) {
        let mut leases = self.lock();
        leases.retain(|_, entry| {
            let holds = entry.until > now;
            if !holds {
                entry.word.lost.cancel();
            }
            holds
        });
        if leases.is_empty() {
            self.emptied.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Lease, Entry>> {
        self.leases
            .lock()
            .expect("no holder of this lock can panic")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{JobId, TenantId, WorkerId};

    const LENGTH: Duration = Duration::from_secs(30);

    fn lease() -> Lease {
        Lease {
            job: JobId::new(),
            tenant: TenantId::new(),
            attempt: 1,
            worker: WorkerId::new(),
        }
    }

    #[test]
    fn lease_that_was_not_renewed_in_time_is_given_up() {
        let (held, lease, start) = (Held::default(), lease(), Instant::now());
        let lost = held.add(lease, start, LENGTH).lost;
        held.expire(start + LENGTH - Duration::from_millis(1));
        assert!(!lost.is_cancelled());
        held.expire(start + LENGTH);
        assert!(lost.is_cancelled() && held.is_empty());
    }

    #[test]
    fn renewal_keeps_what_the_database_kept_and_loses_the_rest() {
        let (held, kept, gone, start) = (Held::default(), lease(), lease(), Instant::now());
        let kept_token = held.add(kept, start, LENGTH).lost;
        let gone_token = held.add(gone, start, LENGTH).lost;
        held.renewed(
            &[kept, gone],
            &HashSet::from([kept]),
            start + LENGTH / 2,
            LENGTH,
        );
        held.expire(start + LENGTH);
        assert!(!kept_token.is_cancelled() && gone_token.is_cancelled());
        assert_eq!(held.due(start + LENGTH * 2), [kept]);
    }

    #[test]
    fn young_lease_is_not_due_and_those_that_are_come_in_the_order_of_their_jobs() {
        let (held, start) = (Held::default(), Instant::now());
        let mut old = [lease(), lease(), lease()];
        for lease in old {
            held.add(lease, start, LENGTH);
        }
        held.add(lease(), start + LENGTH / 2, LENGTH);
        old.sort_by_key(|lease| (lease.tenant, lease.job));
        assert_eq!(held.due(start + LENGTH + LENGTH / 2), old);
        assert_eq!(held.count(), 4);
    }

    #[test]
    fn lease_added_during_a_renewal_is_not_touched_by_it() {
        let (held, early, late, start) = (Held::default(), lease(), lease(), Instant::now());
        held.add(early, start, LENGTH);
        let asked = held.due(start + LENGTH * 2);
        let token = held.add(late, start, LENGTH).lost;
        held.renewed(&asked, &HashSet::new(), start, LENGTH);
        assert!(!token.is_cancelled());
    }
}
