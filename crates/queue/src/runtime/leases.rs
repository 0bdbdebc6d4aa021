//! [`LeaseTable`]: the leases of this process, from the claim to the settle.

use crate::Lease;
use base::JobId;
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

/// All held leases, each with its end by this process's own clock.
#[derive(Default)]
pub struct LeaseTable {
    leases: Mutex<HashMap<Lease, Entry>>,
    empty: Notify,
}

struct Entry {
    until: Instant,
    signal: Arc<AttemptSignal>,
}

/// Signals to a running attempt.
#[derive(Debug, Default)]
pub struct AttemptSignal {
    /// Set when the lease was lost: write nothing more.
    pub lost: CancellationToken,
    /// Set with `lost` when the lease was not renewed in time: the database was unreachable, and another worker need not hold the
    /// job.
    pub lapsed: CancellationToken,
    /// Set when the cancellation of the job was requested.
    pub cancelled: CancellationToken,
}

impl LeaseTable {
    /// Adds a lease; `claimed_at` is a time before the claim was sent.
    ///
    /// If the same lease is held already, a standby was promoted that lacked this worker's first claim: the attempt under it
    /// is lost.
    pub fn add(&self, lease: Lease, claimed_at: Instant, length: Duration) -> Arc<AttemptSignal> {
        let signal = Arc::new(AttemptSignal::default());
        let entry = Entry {
            until: claimed_at + length,
            signal: signal.clone(),
        };
        if let Some(older) = self.lock().insert(lease, entry) {
            older.signal.lost.cancel();
        }
        signal
    }

    /// Signals the cancellation of a job. Does nothing if this process does not hold its lease.
    pub fn cancel(&self, job: JobId) {
        for (lease, entry) in self.lock().iter() {
            if lease.job == job {
                entry.signal.cancelled.cancel();
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Removes the lease of an attempt that ended.
    pub fn remove(&self, lease: &Lease) {
        let mut leases = self.lock();
        leases.remove(lease);
        if leases.is_empty() {
            self.empty.notify_waiters();
        }
    }

    /// Waits until no lease is held.
    pub async fn drained(&self) {
        loop {
            // Registered before the check, or the last lease could be removed in between.
            let emptied = self.empty.notified();
            if self.lock().is_empty() {
                return;
            }
            emptied.await;
        }
    }

    /// Counts the held leases.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Returns the leases that end before `then`, in the order in which settles lock their jobs.
    pub fn due(&self, then: Instant) -> Vec<Lease> {
        let leases = self.lock();
        let due = leases.iter().filter(|(_, entry)| entry.until < then);
        let mut due: Vec<Lease> = due.map(|(lease, _)| *lease).collect();
        due.sort_unstable_by_key(|lease| (lease.tenant, lease.job));
        due
    }

    /// Applies a renewal that was sent at `sent_at`: leases that were to be renewed and were not kept are lost.
    pub fn renewed(
        &self,
        renewing: &[Lease],
        kept: &HashSet<Lease>,
        sent_at: Instant,
        length: Duration,
    ) {
        let mut leases = self.lock();
        for lease in renewing {
            if kept.contains(lease) {
                if let Some(entry) = leases.get_mut(lease) {
                    entry.until = sent_at + length;
                }
            } else if let Some(entry) = leases.remove(lease) {
                entry.signal.lost.cancel();
            }
        }
        if leases.is_empty() {
            self.empty.notify_waiters();
        }
    }

    /// Drops leases that were not renewed in time, for example because the database was down; another worker may hold them
    /// now.
    pub fn expire(&self, now: Instant) {
        let mut leases = self.lock();
        leases.retain(|_, entry| {
            let holds = entry.until > now;
            if !holds {
                entry.signal.lapsed.cancel();
                entry.signal.lost.cancel();
            }
            holds
        });
        if leases.is_empty() {
            self.empty.notify_waiters();
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
    fn lease_that_was_not_renewed_in_time_is_dropped() {
        let (table, lease, start) = (LeaseTable::default(), lease(), Instant::now());
        let lost = table.add(lease, start, LENGTH).lost.clone();
        table.expire(start + LENGTH - Duration::from_millis(1));
        assert!(!lost.is_cancelled());
        table.expire(start + LENGTH);
        assert!(lost.is_cancelled() && table.is_empty());
    }

    #[test]
    fn lease_that_was_not_renewed_has_lapsed_and_one_that_was_taken_over_has_not() {
        let (table, late, gone, start) = (LeaseTable::default(), lease(), lease(), Instant::now());
        let (late_signal, gone_signal) = (
            table.add(late, start, LENGTH),
            table.add(gone, start, LENGTH),
        );
        table.renewed(&[gone], &HashSet::new(), start, LENGTH);
        table.expire(start + LENGTH);
        assert!(late_signal.lapsed.is_cancelled());
        assert!(gone_signal.lost.is_cancelled() && !gone_signal.lapsed.is_cancelled());
    }

    #[test]
    fn lease_that_is_claimed_twice_belongs_to_the_second_claim() {
        let (table, lease, start) = (LeaseTable::default(), lease(), Instant::now());
        let (first, second) = (
            table.add(lease, start, LENGTH),
            table.add(lease, start, LENGTH),
        );
        assert!(first.lost.is_cancelled() && !second.lost.is_cancelled());
    }

    #[test]
    fn renewal_keeps_leases_that_the_database_kept_and_drops_the_rest() {
        let (table, kept, gone, start) = (LeaseTable::default(), lease(), lease(), Instant::now());
        let kept_token = table.add(kept, start, LENGTH).lost.clone();
        let gone_token = table.add(gone, start, LENGTH).lost.clone();
        table.renewed(
            &[kept, gone],
            &HashSet::from([kept]),
            start + LENGTH / 2,
            LENGTH,
        );
        table.expire(start + LENGTH);
        assert!(!kept_token.is_cancelled() && gone_token.is_cancelled());
        assert_eq!(table.due(start + LENGTH * 2), [kept]);
    }

    #[test]
    fn new_lease_is_not_due_and_due_leases_are_sorted_by_job() {
        let (table, start) = (LeaseTable::default(), Instant::now());
        let mut old = [lease(), lease(), lease()];
        for lease in old {
            table.add(lease, start, LENGTH);
        }
        table.add(lease(), start + LENGTH / 2, LENGTH);
        old.sort_by_key(|lease| (lease.tenant, lease.job));
        assert_eq!(table.due(start + LENGTH + LENGTH / 2), old);
        assert_eq!(table.count(), 4);
    }

    #[test]
    fn lease_added_during_a_renewal_is_not_affected_by_it() {
        let (table, early, late, start) = (LeaseTable::default(), lease(), lease(), Instant::now());
        table.add(early, start, LENGTH);
        let renewing = table.due(start + LENGTH * 2);
        let token = table.add(late, start, LENGTH).lost.clone();
        table.renewed(&renewing, &HashSet::new(), start, LENGTH);
        assert!(!token.is_cancelled());
    }
}
