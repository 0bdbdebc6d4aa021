//! [`Protocol`]: all possible next events of workers, of Postgres, and of failures.

use super::{
    rules::{Guard, Rules, failed},
    search::{Model, Step},
    state::{
        Broken, Hold, LEASE, Message, Outcome, Phase, Power, Reply, Request, Row, State, Worker,
    },
};

/// Abandoned statements that may still take effect: more of them show nothing new.
const MAX_ORPHANS: usize = 2;

/// The protocol under these rules, with a limited number of faults.
#[derive(Debug)]
pub(super) struct Protocol {
    pub(super) rules: Rules,
    pub(super) faults: u8,
    /// Whether attempts also write while they run.
    pub(super) writes: bool,
}

/// An event. Names workers by their index, and messages by their index among those in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// The claim takes effect this many ticks after it was sent.
    Claim(usize, u8),
    Renew(usize, u8),
    Send(usize, Request),
    Land(Message),
    Deliver(Message),
    GiveUpLease(usize),
    Rescue,
    Promote,
    /// Time passes, whether or not all workers had time to renew.
    Tick,
    /// Time passes, and every running worker renews before any lease is seen as expired.
    CalmTick,
    Kill(usize),
    /// Starts again under the same name, without memory.
    Restart(usize),
    Freeze(usize),
    Resume(usize),
    /// The connection breaks before the statement took effect, which may then happen later or never, or before its reply.
    Cut(Message),
    CrashPostgres,
}

impl Model for Protocol {
    type State = State;
    type Action = Action;
    type Broken = Broken;

    fn start(&self) -> State {
        let worker = Worker {
            life: 0,
            power: Power::Up,
            hold: None,
        };
        State {
            row: Row::Available,
            attempt: 0,
            holder: None,
            errors: 0,
            crashes: 0,
            history: vec![],
            claims: 0,
            settled: 0,
            workers: [worker; 2],
            network: vec![],
            faults_left: self.faults,
            broken: None,
        }
    }

    fn steps(&self, state: &State) -> Vec<Step<Self>> {
        let mut steps = Steps { state, all: vec![] };
        for name in 0..state.workers.len() {
            match state.workers[name].power {
                Power::Up => self.of_worker(&mut steps, name),
                Power::Frozen => {
                    steps.calm(Action::Resume(name), |s| s.workers[name].power = Power::Up);
                }
                Power::Dead => steps.calm(Action::Restart(name), |s| {
                    s.workers[name].life += 1;
                    s.workers[name].power = Power::Up;
                }),
            }
        }
        self.of_network(&mut steps);
        self.of_maintenance(&mut steps);
        if state.faults_left > 0 {
            faults(&mut steps);
        }
        steps.all
    }

    fn broken(&self, state: &State) -> Option<Broken> {
        let believing = |worker: &&Worker| {
            let hold = worker.hold.as_ref();
            hold.is_some_and(|h| h.left > 0 && !h.lost && h.phase == Phase::Working)
        };
        let two = state.workers.iter().filter(believing).count() > 1;
        state.broken.or(two.then_some(Broken::TwoBelieve))
    }

    /// No worker runs it either; a late statement may still be in flight and must do no harm.
    fn ended(&self, state: &State) -> bool {
        state.row == Row::Ended && state.workers.iter().all(|worker| worker.hold.is_none())
    }

    fn stuck(&self) -> Broken {
        Broken::NeverEnds
    }
}

impl Protocol {
    fn of_worker(&self, steps: &mut Steps<'_>, name: usize) {
        let state = steps.state;
        let Some(hold) = state.workers[name].hold else {
            let asks = state.waits_for(name, |request| *request == Request::Claim);
            if state.row == Row::Available && !asks {
                for age in 0..=LEASE {
                    steps.calm(Action::Claim(name, age), |s| {
                        self.ask(s, name, Request::Claim, age);
                    });
                }
            }
            return;
        };
        if hold.left == 0 && !hold.lost {
            steps.calm(Action::GiveUpLease(name), |s| s.lose(name));
        }
        match hold.phase {
            Phase::Working => self.of_work(steps, name, hold),
            Phase::Settling(outcome) => {
                let asks = state.waits_for(name, |request| matches!(request, Request::Settle(..)));
                if !asks && !hold.lost {
                    steps.settle(name, hold, outcome);
                }
            }
        }
    }

    fn of_work(&self, steps: &mut Steps<'_>, name: usize, hold: Hold) {
        let state = steps.state;
        let renews = state.waits_for(name, |request| matches!(request, Request::Renew(_)));
        if hold.left < LEASE && !renews {
            let by_name = self.rules.renew == Guard::NameAndRunning;
            let request = Request::Renew((!by_name).then_some(hold.claim));
            for age in 0..=LEASE {
                steps.calm(Action::Renew(name, age), |s| {
                    self.ask(s, name, request, age);
                });
            }
        }
        if state.waits_for(name, |request| matches!(request, Request::Write(_))) {
            // A handler waits for its writes before it ends.
            return;
        }
        if self.writes && !hold.wrote {
            steps.write(name, hold);
        }
        steps.settle(name, hold, Outcome::Succeeded);
        if failed(state.errors) != Outcome::Discarded {
            // The protocol does not distinguish discarded from succeeded.
            steps.settle(name, hold, Outcome::Retried);
        }
        if state.faults_left > 0 {
            steps.settle(name, hold, Outcome::Interrupted);
        }
    }

    /// A statement takes effect this many ticks after it was sent.
    fn ask(&self, state: &mut State, name: usize, request: Request, age: u8) {
        let mut message = Message {
            from: state.identity(name),
            request,
            answer: None,
            age,
            orphan: false,
        };
        let answer = self.rules.land(state, &message);
        message.answer = Some(answer);
        if answer == Reply::LeaseLost {
            message.age = 0;
        }
        state.network.push(message);
    }

    fn of_network(&self, steps: &mut Steps<'_>) {
        for (index, message) in steps.state.network.iter().enumerate() {
            if message.answer.is_none() {
                steps.calm(Action::Land(*message), |s| {
                    let answer = self.rules.land(s, message);
                    // No worker acts on the reply to a write.
                    if message.orphan || matches!(message.request, Request::Write(_)) {
                        s.network.remove(index);
                    } else {
                        s.network[index].answer = Some(answer);
                    }
                });
            } else if steps.state.workers[usize::from(message.from.name)].power == Power::Up {
                steps.calm(Action::Deliver(*message), |s| {
                    s.network.remove(index);
                    self.deliver(s, message);
                });
            }
        }
    }

    fn deliver(&self, state: &mut State, message: &Message) {
        let name = usize::from(message.from.name);
        let age = if self.rules.counts_from_asking {
            message.age
        } else {
            0
        };
        let left = LEASE - age;
        match (message.request, message.answer) {
            (Request::Claim, Some(Reply::Claimed(claim))) => {
                state.workers[name].hold = Some(Hold {
                    claim,
                    left,
                    lost: false,
                    phase: Phase::Working,
                    wrote: false,
                });
            }
            (Request::Renew(of), Some(answer)) => {
                let hold = state.workers[name].hold.as_mut();
                // A job that was settled meanwhile is not held.
                let Some(hold) = hold.filter(|h| of.is_none_or(|of| of == h.claim) && !h.lost)
                else {
                    return;
                };
                if answer == Reply::StoredMessage {
                    hold.left = left;
                } else {
                    state.lose(name);
                }
            }
            (Request::Settle(..), Some(_)) => state.workers[name].hold = None,
            (Request::Claim | Request::Write(_) | Request::Renew(_), _)
            | (Request::Settle(..), None) => {}
        }
    }

    fn of_maintenance(&self, steps: &mut Steps<'_>) {
        let state = steps.state;
        let somebody = state.workers.iter().any(|w| w.power == Power::Up);
        if somebody && self.rules.rescue(&mut state.clone()) {
            steps.calm(Action::Rescue, |s| {
                self.rules.rescue(s);
            });
        }
        if state.row == Row::Retryable {
            steps.calm(Action::Promote, |s| s.row = Row::Available);
        }
        if matches!(state.row, Row::Running { .. })
            || state.workers.iter().any(|w| w.hold.is_some())
        {
            let counts_age = self.rules.counts_age();
            steps.fault(Action::Tick, |s| s.tick(counts_age));
            steps.calm(Action::CalmTick, |s| {
                s.tick(counts_age);
                self.renew_all(s);
            });
        }
    }

    /// The events of a tick without faults.
    fn renew_all(&self, state: &mut State) {
        for name in 0..state.workers.len() {
            let Worker { power, hold, .. } = state.workers[name];
            if power != Power::Up {
                continue;
            }
            let from = state.identity(name);
            if self.rules.renew == Guard::NameAndRunning {
                self.rules.renew(state, from, None);
            } else if let Some(hold) = hold.filter(|hold| !hold.lost) {
                if self.rules.renew(state, from, Some(hold.claim)) == Reply::StoredMessage {
                    state.workers[name].hold = Some(Hold {
                        left: LEASE,
                        ..hold
                    });
                } else {
                    state.lose(name);
                }
            }
        }
    }
}

fn faults(steps: &mut Steps<'_>) {
    let state = steps.state;
    for (name, worker) in state.workers.iter().enumerate() {
        if worker.power != Power::Dead {
            steps.fault(Action::Kill(name), |s| {
                s.faults_left -= 1;
                let from = s.identity(name);
                s.network
                    .retain(|m| m.from != from || m.orphan || m.answer.is_none());
                for message in s.network.iter_mut().filter(|m| m.from == from) {
                    orphan(message);
                }
                s.workers[name].power = Power::Dead;
                s.workers[name].hold = None;
            });
        }
        if worker.power == Power::Up {
            steps.fault(Action::Freeze(name), |s| {
                s.faults_left -= 1;
                s.workers[name].power = Power::Frozen;
            });
        }
    }
    for (index, message) in state.network.iter().enumerate() {
        if !message.orphan {
            steps.fault(Action::Cut(*message), |s| {
                s.faults_left -= 1;
                if message.answer.is_some() {
                    s.network.remove(index);
                } else {
                    orphan(&mut s.network[index]);
                }
            });
        }
    }
    if !state.network.is_empty() {
        steps.fault(Action::CrashPostgres, |s| {
            s.faults_left -= 1;
            s.network.clear();
        });
    }
}

fn orphan(message: &mut Message) {
    message.orphan = true;
    message.age = 0;
}

/// The steps from a state.
struct Steps<'a> {
    state: &'a State,
    all: Vec<Step<Protocol>>,
}

impl Steps<'_> {
    fn calm(&mut self, action: Action, change: impl FnOnce(&mut State)) {
        self.push(action, true, change);
    }

    fn fault(&mut self, action: Action, change: impl FnOnce(&mut State)) {
        self.push(action, false, change);
    }

    fn write(&mut self, name: usize, hold: Hold) {
        let request = Request::Write(hold.claim);
        self.calm(Action::Send(name, request), |s| {
            s.workers[name].hold = Some(Hold {
                wrote: true,
                ..hold
            });
            s.send(name, request);
        });
    }

    fn settle(&mut self, name: usize, hold: Hold, outcome: Outcome) {
        let request = Request::Settle(hold.claim, outcome);
        self.calm(Action::Send(name, request), |s| {
            s.faults_left -=
                u8::from(outcome == Outcome::Interrupted && hold.phase == Phase::Working);
            s.workers[name].hold = Some(Hold {
                phase: Phase::Settling(outcome),
                ..hold
            });
            s.send(name, request);
        });
    }

    fn push(&mut self, action: Action, calm: bool, change: impl FnOnce(&mut State)) {
        let mut next = self.state.clone();
        change(&mut next);
        next.forget();
        if next.network.iter().filter(|m| m.orphan).count() <= MAX_ORPHANS {
            self.all.push(Step { action, calm, next });
        }
    }
}
