//! [`State`]: the job's row, two workers and the messages in flight.

/// The length of a renewed lease in ticks. One is enough: an expired lease is a state of its own until the job is rescued,
/// the lease is dropped, or it is renewed after all. Two show nothing more and cost ten times as much.
pub(super) const LEASE: u8 = 1;

/// A worker process: its name, and which process under that name it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Identity {
    pub(super) name: u8,
    pub(super) life: u8,
}

/// The right that a claim gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Claim {
    /// The attempt number of the protocol.
    pub(super) attempt: u8,
    /// The number of the claim. Only the properties read it, never the rules.
    pub(super) serial: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Outcome {
    Succeeded,
    Discarded,
    Retried,
    Interrupted,
    /// Written by the rescue.
    Crashed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Row {
    Available,
    Retryable,
    /// `left` ticks of the lease, after `age` ticks of work.
    Running {
        left: u8,
        age: u8,
    },
    /// In `finished_jobs`.
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Power {
    Up,
    Frozen,
    Dead,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Phase {
    Working,
    /// The handler has ended, and its outcome is being written; the settle is retried until there is a reply.
    Settling(Outcome),
}

/// A lease in the worker's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Hold {
    pub(super) claim: Claim,
    /// Ticks until the worker drops the lease, by its own clock.
    pub(super) left: u8,
    pub(super) lost: bool,
    pub(super) phase: Phase,
    /// One write during the attempt (a checkpoint, progress) is enough.
    pub(super) wrote: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Worker {
    pub(super) life: u8,
    pub(super) power: Power,
    pub(super) hold: Option<Hold>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Request {
    Claim,
    Renew(Option<Claim>),
    Write(Claim),
    Settle(Claim, Outcome),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Reply {
    Claimed(Claim),
    NothingDue,
    StoredMessage,
    Written,
    /// Written now or before; the worker need not know which.
    Settled,
    LeaseLost,
}

/// A statement in flight to Postgres, or its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Message {
    pub(super) from: Identity,
    pub(super) request: Request,
    pub(super) answer: Option<Reply>,
    /// Ticks since it was sent, as far as a rule reads them.
    pub(super) age: u8,
    /// No worker waits for the reply, but the statement may still take effect.
    pub(super) orphan: bool,
}

/// The properties that no run may break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Broken {
    /// The job reached a final state twice.
    EndedTwice,
    /// A write took effect that was not of the newest claim of a running job.
    WrittenByStaleAttempt,
    /// A settle whose first try had taken effect reported a lost lease.
    DoneReportedAsLost,
    /// Two workers held the job at the same time.
    TwoBelieve,
    /// The job does not finish even without further faults.
    NeverEnds,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) row: Row,
    pub(super) attempt: u8,
    pub(super) holder: Option<Identity>,
    pub(super) errors: u8,
    pub(super) crashes: u8,
    /// `job_attempts` and the finished row: how an attempt ended and which worker settled it, while a settle may still ask.
    pub(super) history: Vec<(u8, Identity, Outcome)>,
    /// The number of claims so far.
    pub(super) claims: u8,
    /// A bit for each claim whose own settle took effect.
    pub(super) settled: u8,
    pub(super) workers: [Worker; 2],
    /// Sorted, so that the order of sending makes no difference.
    pub(super) network: Vec<Message>,
    pub(super) faults_left: u8,
    pub(super) broken: Option<Broken>,
}

impl State {
    pub(super) fn identity(&self, name: usize) -> Identity {
        let index = u8::try_from(name).expect("two workers");
        Identity {
            name: index,
            life: self.workers[name].life,
        }
    }

    /// Whether this worker waits for a statement in flight.
    pub(super) fn waits_for(&self, name: usize, is: impl Fn(&Request) -> bool) -> bool {
        let from = self.identity(name);
        self.network
            .iter()
            .any(|message| !message.orphan && message.from == from && is(&message.request))
    }

    pub(super) fn send(&mut self, name: usize, request: Request) {
        let from = self.identity(name);
        self.network.push(Message {
            from,
            request,
            answer: None,
            age: 0,
            orphan: false,
        });
    }

    /// Advances all clocks, including that of a frozen process.
    pub(super) fn tick(&mut self, counts_age: bool) {
        if let Row::Running { left, age } = &mut self.row {
            *left = left.saturating_sub(1);
            *age = (*age + u8::from(counts_age)).min(LEASE + 1);
        }
        for hold in self.workers.iter_mut().filter_map(|w| w.hold.as_mut()) {
            hold.left = hold.left.saturating_sub(1);
        }
        for message in &mut self.network {
            if matches!(
                message.answer,
                Some(Reply::Claimed(_) | Reply::StoredMessage)
            ) {
                message.age = (message.age + 1).min(LEASE);
            }
        }
    }

    /// Normalises states that nothing can ever distinguish.
    pub(super) fn forget(&mut self) {
        for name in 0..self.workers.len() {
            // The lease is lost, and no worker learns whether the settle took effect.
            if self.workers[name].hold.is_some_and(|hold| hold.lost) {
                self.lose(name);
            }
        }
        let mut history = std::mem::take(&mut self.history);
        history.retain(|(attempt, ..)| self.may_settle(|claim| claim.attempt == *attempt));
        self.history = history;
        for serial in 1..=self.claims {
            let settled = self.settled & (1 << serial) != 0;
            if settled && !self.may_settle(|claim| claim.serial == serial) {
                self.settled &= !(1 << serial);
            }
        }
        if self.workers[1] < self.workers[0] {
            self.workers.swap(0, 1);
            let names = self.network.iter_mut().map(|message| &mut message.from);
            let names = names.chain(&mut self.holder);
            let history = self.history.iter_mut().map(|(_, by, _)| by);
            for identity in names.chain(history) {
                identity.name = 1 - identity.name;
            }
        }
        self.network.sort_unstable();
        self.network.dedup();
    }

    /// Whether a settle under this claim may still come.
    fn may_settle(&self, is: impl Fn(&Claim) -> bool) -> bool {
        let held = self.workers.iter().filter_map(|w| w.hold.map(|h| h.claim));
        let sent = self
            .network
            .iter()
            .filter_map(|m| match (m.request, m.answer) {
                (Request::Settle(claim, _), _) | (_, Some(Reply::Claimed(claim))) => Some(claim),
                _ => None,
            });
        held.chain(sent).any(|claim| is(&claim))
    }

    /// The worker learns that its lease is lost: the attempt is aborted, but a settle in flight is awaited.
    pub(super) fn lose(&mut self, name: usize) {
        let settling = self.waits_for(name, |request| matches!(request, Request::Settle(..)));
        let hold = &mut self.workers[name].hold;
        if settling {
            if let Some(hold) = hold {
                hold.lost = true;
                hold.left = 0;
            }
        } else {
            *hold = None;
        }
    }
}
