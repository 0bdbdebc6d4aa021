//! Applies a rule set to a message: [`RuleSet::evaluate`]. Pure; asks no model, but says where one is needed.
//!
//! Order, per rule: a learned exclude skips it; a learned include settles the message (no later rule, no model); then
//! the static conditions. A rule that stops ends the walk; one with an `llm_condition` is only a candidate.

use super::condition::View;
use super::{Rule, RuleSet};
use crate::domain::mail::Mail;

/// The result of the rules, before any model.
#[derive(Debug, Default)]
pub struct Verdict<'r> {
    /// Rules that apply, in order.
    pub hits: Vec<MatchedRule<'r>>,
    /// Rules that apply if the model finds their condition true, in order.
    pub candidates: Vec<&'r Rule>,
}

/// A rule that applies.
#[derive(Clone, Copy, Debug)]
pub struct MatchedRule<'r> {
    pub rule: &'r Rule,
    /// By a learned pattern instead of its own conditions.
    pub learned: bool,
}

impl Verdict<'_> {
    /// Reports whether a model must be asked.
    pub fn needs_model(&self) -> bool {
        self.hits.is_empty() || !self.candidates.is_empty()
    }
}

impl RuleSet {
    /// Walks the rules in order.
    pub fn evaluate(&self, mail: &Mail) -> Verdict<'_> {
        let view = View::of(mail);
        let mut verdict = Verdict::default();
        for rule in self.rules.iter().filter(|rule| rule.enabled) {
            if rule.excludes.iter().any(|pattern| pattern.holds(&view)) {
                continue;
            }
            if rule.includes.iter().any(|pattern| pattern.holds(&view)) {
                verdict.hits.push(MatchedRule {
                    rule,
                    learned: true,
                });
                verdict.candidates.clear();
                return verdict;
            }
            let considered = rule.run_on_threads || !mail.is_reply();
            // Without conditions a rule has an `llm_condition` (compile sees to that), and everything is a candidate.
            if !considered || !rule.conditions.is_empty() && !rule.conditions.holds(rule.op, &view)
            {
                continue;
            }
            if rule.llm_condition.is_some() {
                verdict.candidates.push(rule);
            } else {
                verdict.hits.push(MatchedRule {
                    rule,
                    learned: false,
                });
                if rule.stop {
                    return verdict;
                }
            }
        }
        verdict
    }
}
