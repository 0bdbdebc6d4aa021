//! Decides which fault happens when, from the seed alone. See [`FaultPlan`].
//!
//! A seed repeats the faults, not the interleaving with the work.

use super::processes::{APIS, WORKERS};
use super::random::Random;
use std::time::Duration;

/// One fault. Processes are given by their index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ChaosFault {
    KillWorker(usize),
    KillApi(usize),
    /// SIGSTOP, and SIGCONT after its leases have expired.
    FreezeWorker(usize, Duration),
    /// Immediate shutdown and restart: Postgres recovers from its write-ahead log.
    CrashPostgres,
    /// Closes all connections of one process to Postgres.
    Cut(usize),
    /// Keeps connections open without forwarding, as with a pulled cable, then closes them.
    Blackhole(usize, Duration),
    /// Closes the connection after the next commit of this process, before its reply.
    LoseReply(usize),
    /// Delays every packet for a while.
    Slow(usize, Duration),
}

impl ChaosFault {
    /// Returns its name in the report.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::KillWorker(_) => "workers killed (SIGKILL)",
            Self::KillApi(_) => "APIs killed (SIGKILL)",
            Self::FreezeWorker(..) => "workers frozen beyond their lease (SIGSTOP)",
            Self::CrashPostgres => "Postgres crashed and restarted",
            Self::Cut(_) => "connections cut",
            Self::Blackhole(..) => "connections half-open",
            Self::LoseReply(_) => "replies to drop after a commit",
            Self::Slow(..) => "connections slowed down",
        }
    }
}

/// An endless sequence of faults, dealt from a shuffled deck, so that every twenty faults have the same mix.
#[derive(Debug)]
pub(super) struct FaultPlan {
    random: Random,
    lease: Duration,
    deck: Vec<ChaosFault>,
}

impl FaultPlan {
    pub(super) fn new(seed: u64, lease: Duration) -> Self {
        Self {
            random: Random::from_seed(seed),
            lease,
            deck: vec![],
        }
    }

    /// Returns the delay before the next fault, and the fault.
    pub(super) fn next(&mut self) -> (Duration, ChaosFault) {
        let wait = Duration::from_millis(self.random.between(400, 2000));
        if self.deck.is_empty() {
            self.deck = self.shuffled();
        }
        let fault = self.deck.pop().expect("a deck is never dealt empty");
        (wait, fault)
    }

    fn shuffled(&mut self) -> Vec<ChaosFault> {
        let random = &mut self.random;
        let mut deck = vec![ChaosFault::CrashPostgres];
        let longer = |random: &mut Random, least: Duration| {
            least + Duration::from_millis(random.between(300, 3000))
        };
        for _ in 0..6 {
            deck.push(ChaosFault::KillWorker(random.index(WORKERS)));
        }
        for _ in 0..2 {
            deck.push(ChaosFault::KillApi(random.index(APIS)));
        }
        for _ in 0..3 {
            let time = longer(random, self.lease);
            deck.push(ChaosFault::FreezeWorker(random.index(WORKERS), time));
            deck.push(ChaosFault::Cut(random.index(APIS + WORKERS)));
            deck.push(ChaosFault::LoseReply(random.index(APIS + WORKERS)));
        }
        let time = longer(random, Duration::from_secs(1));
        deck.push(ChaosFault::Blackhole(random.index(APIS + WORKERS), time));
        let delay = Duration::from_millis(random.between(5, 60));
        deck.push(ChaosFault::Slow(random.index(APIS + WORKERS), delay));
        random.shuffle(&mut deck);
        deck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(seed: u64) -> Vec<(Duration, ChaosFault)> {
        let mut plan = FaultPlan::new(seed, Duration::from_secs(3));
        (0..100).map(|_| plan.next()).collect()
    }

    #[test]
    fn seed_repeats_its_faults() {
        assert_eq!(first(7), first(7));
        assert_ne!(first(7), first(8));
    }

    #[test]
    fn deck_crashes_postgres_once() {
        let size = FaultPlan::new(1, Duration::from_secs(3)).shuffled().len();
        for deck in first(1).chunks_exact(size) {
            let crashes = deck
                .iter()
                .filter(|(_, fault)| *fault == ChaosFault::CrashPostgres);
            assert_eq!(crashes.count(), 1);
        }
    }
}
