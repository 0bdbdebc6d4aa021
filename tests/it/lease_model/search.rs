//! [`search`]: an exhaustive, breadth-first search of a small model, so that a counterexample is a shortest one.
//!
//! Knows nothing about leases.

use std::{
    collections::{HashMap, VecDeque},
    fmt::Debug,
    hash::Hash,
};

/// A model that can be searched: states, and the steps between them.
pub(super) trait Model {
    type State: Clone + Eq + Hash + Debug;
    type Action: Copy + Debug;
    type Broken: Copy + Debug;

    fn start(&self) -> Self::State;
    /// Lists all possible steps. A calm step needs no fault, and happens in time.
    fn steps(&self, state: &Self::State) -> Vec<Step<Self>>;
    /// Returns a property that does not hold in this state.
    fn broken(&self, state: &Self::State) -> Option<Self::Broken>;
    /// Whether the state is final.
    fn ended(&self, state: &Self::State) -> bool;
    /// The property that is broken if calm steps cannot lead to a final state.
    fn stuck(&self) -> Self::Broken;
}

pub(super) struct Step<M: Model + ?Sized> {
    pub(super) action: M::Action,
    pub(super) calm: bool,
    pub(super) next: M::State,
}

/// The extent of a search.
#[derive(Debug)]
pub(super) struct Searched {
    pub(super) states: usize,
    pub(super) steps: usize,
    /// Final states.
    pub(super) ends: usize,
}

/// A property that does not hold, and a shortest path to it.
#[derive(Debug)]
pub(super) struct Counterexample<M: Model> {
    pub(super) broken: M::Broken,
    pub(super) trace: Vec<M::Action>,
}

/// Visits every reachable state.
///
/// A state from which calm steps lead to no final state breaks [`Model::stuck`].
pub(super) fn search<M: Model>(model: &M) -> Result<Searched, Counterexample<M>> {
    let start = model.start();
    let mut known = HashMap::from([(start.clone(), 0)]);
    // By number: the first step to a state, and the states from which calm steps lead to it.
    let mut reached_by: Vec<Option<(usize, M::Action)>> = vec![None];
    let mut calm_from: Vec<Vec<usize>> = vec![vec![]];
    let mut ended = vec![];
    let mut steps = 0;
    let mut waiting = VecDeque::from([(0, start)]);
    while let Some((number, state)) = waiting.pop_front() {
        if let Some(broken) = model.broken(&state) {
            let trace = trace::<M>(&reached_by, number);
            return Err(Counterexample { broken, trace });
        }
        if model.ended(&state) {
            ended.push(number);
        }
        for Step { action, calm, next } in model.steps(&state) {
            steps += 1;
            let to = *known.entry(next).or_insert_with_key(|next| {
                reached_by.push(Some((number, action)));
                calm_from.push(vec![]);
                waiting.push_back((reached_by.len() - 1, next.clone()));
                reached_by.len() - 1
            });
            if calm {
                calm_from[to].push(number);
            }
        }
    }
    let ends = ended.len();
    match first_stuck(ended, &calm_from) {
        Some(stuck) => Err(Counterexample {
            broken: model.stuck(),
            trace: trace::<M>(&reached_by, stuck),
        }),
        None => Ok(Searched {
            states: known.len(),
            steps,
            ends,
        }),
    }
}

/// Returns the first state from which calm steps reach no final state: searches backwards from all final states.
fn first_stuck(ended: Vec<usize>, calm_from: &[Vec<usize>]) -> Option<usize> {
    let mut ends = vec![false; calm_from.len()];
    let mut waiting = ended;
    while let Some(number) = waiting.pop() {
        if !std::mem::replace(&mut ends[number], true) {
            waiting.extend(&calm_from[number]);
        }
    }
    ends.iter().position(|ends| !ends)
}

fn trace<M: Model>(reached_by: &[Option<(usize, M::Action)>], mut number: usize) -> Vec<M::Action> {
    let mut trace = vec![];
    while let Some((from, action)) = reached_by[number] {
        trace.push(action);
        number = from;
    }
    trace.reverse();
    trace
}
