//! Which fault happens when, decided by the seed alone. See [`Schedule`].
//!
//! What the system is doing at that moment is not: a seed repeats the storm, not the interleaving.

use super::fleet::{APIS, WORKERS};
use super::random::Random;
use std::time::Duration;

/// One thing that goes wrong. Processes are meant by their place in the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    KillWorker(usize),
    KillApi(usize),
    /// SIGSTOP, and SIGCONT when its leases have long expired.
    FreezeWorker(usize, Duration),
    /// Immediate shutdown and a new start: Postgres recovers from its write-ahead log.
    CrashPostgres,
    /// All connections of one process to Postgres are closed.
    Cut(usize),
    /// They stay open and nothing comes through, as if a cable was pulled; then they are closed.
    Hole(usize, Duration),
    /// The next commit of this process lands, and its connection ends before the answer.
    LoseReply(usize),
    /// Every packet takes this much longer for a while.
    Slow(usize, Duration),
}

impl Fault {
    /// What the report counts it as.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::KillWorker(_) => "workers killed (SIGKILL)",
            Self::KillApi(_) => "APIs killed (SIGKILL)",
            Self::FreezeWorker(..) => "workers frozen beyond their lease (SIGSTOP)",
            Self::CrashPostgres => "Postgres crashed and restarted",
            Self::Cut(_) => "connections cut",
            Self::Hole(..) => "connections half-open",
            Self::LoseReply(_) => "replies to be lost after a commit",
            Self::Slow(..) => "connections slowed down",
        }
    }
}

/// An endless row of faults, dealt from a shuffled deck: every twenty faults hold the same mixture.
#[derive(Debug)]
pub(super) struct Schedule {
    random: Random,
    lease: Duration,
    deck: Vec<Fault>,
}

impl Schedule {
    pub(super) fn new(seed: u64, lease: Duration) -> Self {
        Self {
            random: Random::from_seed(seed),
            lease,
            deck: vec![],
        }
    }

    /// The wait before the next fault, and the fault.
    pub(super) fn next(&mut self) -> (Duration, Fault) {
        let wait = Duration::from_millis(self.random.between(400, 2000));
        if self.deck.is_empty() {
            self.deck = self.shuffled();
        }
        let fault = self.deck.pop().expect("a deck is never dealt empty");
        (wait, fault)
    }

    fn shuffled(&mut self) -> Vec<Fault> {
        let random = &mut self.random;
        let mut deck = vec![Fault::CrashPostgres];
        let longer = |random: &mut Random, least: Duration| {
            least + Duration::from_millis(random.between(300, 3000))
        };
        for _ in 0..6 {
            deck.push(Fault::KillWorker(random.index(WORKERS)));
        }
        for _ in 0..2 {
            deck.push(Fault::KillApi(random.index(APIS)));
        }
        for _ in 0..3 {
            let time = longer(random, self.lease);
            deck.push(Fault::FreezeWorker(random.index(WORKERS), time));
            deck.push(Fault::Cut(random.index(APIS + WORKERS)));
            deck.push(Fault::LoseReply(random.index(APIS + WORKERS)));
        }
        let time = longer(random, Duration::from_secs(1));
        deck.push(Fault::Hole(random.index(APIS + WORKERS), time));
        let delay = Duration::from_millis(random.between(5, 60));
        deck.push(Fault::Slow(random.index(APIS + WORKERS), delay));
        random.shuffle(&mut deck);
        deck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(seed: u64) -> Vec<(Duration, Fault)> {
        let mut schedule = Schedule::new(seed, Duration::from_secs(3));
        (0..100).map(|_| schedule.next()).collect()
    }

    #[test]
    fn a_seed_repeats_its_storm() {
        assert_eq!(first(7), first(7));
        assert_ne!(first(7), first(8));
    }

    #[test]
    fn every_deck_crashes_postgres_once() {
        let size = Schedule::new(1, Duration::from_secs(3)).shuffled().len();
        for deck in first(1).chunks_exact(size) {
            let crashes = deck
                .iter()
                .filter(|(_, fault)| *fault == Fault::CrashPostgres);
            assert_eq!(crashes.count(), 1);
        }
    }
}
