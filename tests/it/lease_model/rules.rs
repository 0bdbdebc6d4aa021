//! [`Rules`]: the effect of each statement in Postgres, under the protocol's rules or with one of them broken on purpose.
//!
//! Each statement takes effect atomically, as each statement of `queue` does (or its transaction, for a settle).

use super::state::{Broken, Claim, Identity, LEASE, Message, Outcome, Reply, Request, Row, State};

/// The errors and crashes that a job may have: the fewest with which each outcome occurs.
const MAX_ERRORS: u8 = 2;
const MAX_CRASHES: u8 = 2;

/// The guard of a write, besides the job's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// `attempt = $2 and state = 'running'`: the one of `queue`.
    AttemptAndRunning,
    /// `state = 'running'`.
    Running,
    /// `worker = $2 and state = 'running'`, where the worker is a name that survives its process.
    NameAndRunning,
    /// No guard: the row in any state.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RescueBy {
    /// `lease_until < now()`: the one of `queue`.
    Lease,
    /// A time after the start of the attempt, whether or not it was renewed.
    Age,
    Nobody,
}

/// The rules of the protocol.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) settle: Guard,
    /// Also of writes while the attempt runs.
    pub(super) write: Guard,
    pub(super) renew: Guard,
    pub(super) rescue: RescueBy,
    /// Whether an interrupted attempt keeps its number, so that the next claim has a new one.
    pub(super) attempts_only_grow: bool,
    /// Whether a settle that finds nothing to settle checks whether it was applied before.
    pub(super) recognises_its_own: bool,
    /// Whether a worker counts its lease from the request and not from the reply.
    pub(super) counts_from_asking: bool,
}

impl Rules {
    /// The rules of `queue`.
    pub(super) const OURS: Self = Self {
        settle: Guard::AttemptAndRunning,
        write: Guard::AttemptAndRunning,
        renew: Guard::AttemptAndRunning,
        rescue: RescueBy::Lease,
        attempts_only_grow: true,
        recognises_its_own: true,
        counts_from_asking: true,
    };

    pub(super) fn counts_age(&self) -> bool {
        self.rescue == RescueBy::Age
    }

    /// Applies a statement.
    pub(super) fn land(&self, state: &mut State, message: &Message) -> Reply {
        let from = message.from;
        match message.request {
            Request::Claim => claim(state, from),
            Request::Renew(claim) => self.renew(state, from, claim),
            Request::Write(claim) => {
                if !lets(self.write, state, from, claim) {
                    return Reply::LeaseLost;
                }
                check_newest(state, claim);
                Reply::Written
            }
            Request::Settle(claim, outcome) => self.settle(state, from, claim, outcome),
        }
    }

    /// `lease::renew`.
    pub(super) fn renew(&self, state: &mut State, from: Identity, claim: Option<Claim>) -> Reply {
        let lets = match claim {
            Some(claim) => lets(self.renew, state, from, claim),
            // A heartbeat of the process, for all jobs under its name.
            None => is_named(state, from),
        };
        match &mut state.row {
            Row::Running { left, .. } if lets => {
                *left = LEASE;
                Reply::StoredMessage
            }
            Row::Running { .. } | Row::Available | Row::Retryable | Row::Ended => Reply::LeaseLost,
        }
    }

    /// `settle::settle`, with what commits in its transaction.
    fn settle(&self, state: &mut State, from: Identity, claim: Claim, outcome: Outcome) -> Reply {
        if lets(self.settle, state, from, claim) {
            check_newest(state, claim);
            state.settled |= 1 << claim.serial;
            self.end_attempt(state, (from, outcome), claim.attempt);
            return Reply::Settled;
        }
        let own = state.history.contains(&(claim.attempt, from, outcome));
        if self.recognises_its_own && own {
            return Reply::Settled;
        }
        if state.settled & (1 << claim.serial) != 0 {
            state.broken = Some(Broken::DoneReportedAsLost);
        }
        Reply::LeaseLost
    }

    /// `rescue::rescue`: one statement, on any worker.
    pub(super) fn rescue(&self, state: &mut State) -> bool {
        let Row::Running { left, age } = state.row else {
            return false;
        };
        let due = match self.rescue {
            RescueBy::Lease => left == 0,
            RescueBy::Age => age > LEASE,
            RescueBy::Nobody => false,
        };
        if let (true, Some(holder)) = (due, state.holder) {
            self.end_attempt(state, (holder, Outcome::Crashed), state.attempt);
        }
        due
    }

    fn end_attempt(&self, state: &mut State, by: (Identity, Outcome), attempt: u8) {
        state.history.retain(|(of, ..)| *of != attempt);
        state.history.push((attempt, by.0, by.1));
        state.holder = None;
        let next = match by.1 {
            Outcome::Succeeded | Outcome::Discarded => Row::Ended,
            Outcome::Retried => {
                state.errors += 1;
                Row::Retryable
            }
            Outcome::Interrupted => {
                if !self.attempts_only_grow {
                    state.attempt = state.attempt.saturating_sub(1);
                }
                Row::Available
            }
            Outcome::Crashed => {
                state.crashes += 1;
                if state.crashes < MAX_CRASHES {
                    Row::Available
                } else {
                    Row::Ended
                }
            }
        };
        if state.row == Row::Ended {
            state.broken = Some(Broken::EndedTwice);
        }
        state.row = next;
    }
}

/// Returns the outcome of a failed attempt: `Outcome::from_attempt`.
pub(super) fn failed(errors: u8) -> Outcome {
    if errors + 1 >= MAX_ERRORS {
        Outcome::Discarded
    } else {
        Outcome::Retried
    }
}

/// `claim::claim`.
fn claim(state: &mut State, from: Identity) -> Reply {
    if state.row != Row::Available {
        return Reply::NothingDue;
    }
    state.row = Row::Running {
        left: LEASE,
        age: 0,
    };
    state.attempt += 1;
    state.claims += 1;
    state.holder = Some(from);
    Reply::Claimed(Claim {
        attempt: state.attempt,
        serial: state.claims,
    })
}

fn lets(guard: Guard, state: &State, from: Identity, claim: Claim) -> bool {
    let running = matches!(state.row, Row::Running { .. });
    match guard {
        Guard::AttemptAndRunning => running && state.attempt == claim.attempt,
        Guard::Running => running,
        Guard::NameAndRunning => running && is_named(state, from),
        Guard::Nothing => true,
    }
}

fn is_named(state: &State, from: Identity) -> bool {
    state.holder.is_some_and(|holder| holder.name == from.name)
}

/// Checks that only the newest claim of a running job writes.
fn check_newest(state: &mut State, claim: Claim) {
    let running = matches!(state.row, Row::Running { .. });
    if running && claim.serial != state.claims {
        state.broken = Some(Broken::WrittenByStaleAttempt);
    }
}
