//! Rules that judge messages without a model: [`RuleSet`], compiled from YAML when it is saved and again when it is
//! used.
//!
//! [`RuleSet::compile`] finds all faults of a set at once; a compiled set cannot fail on any message.
//! [`RuleSet::evaluate`] returns the rules that apply. Nothing here acts: the gate decides about actions.
//! [`SAMPLE_RULES`] shows the whole language.

mod compile;
mod condition;
mod document;
mod evaluate;
mod glob;
mod reader;
mod regexes;
mod template;

#[cfg(test)]
mod tests;

pub use condition::Op;
pub use evaluate::{MatchedRule, Verdict};

use super::gate::Confirmation;
use super::judgement::{Category, Disposition, Priority, Sla};
use super::mail::Mail;
use super::{
    action::{ActionType, Params},
    proposal::Proposal,
};
use condition::{Learned, Match};

/// A sample set; `cargo dev up` loads it and the documentation explains it.
pub const SAMPLE_RULES: &str = include_str!("rules/sample.yaml");

/// The confidence of a rule's actions: a person wrote it for such messages, but cannot have foreseen all of them.
pub const RULE_CONFIDENCE: f32 = 0.9;

/// Bounds on a rule set, in characters or counts unless named otherwise.
pub mod limits {
    pub const YAML_BYTES: usize = 256 * 1024;
    /// Of mappings and lists in each other; the language has seven.
    pub const DEPTH: usize = 32;
    pub const RULES: usize = 200;
    pub const ACTIONS: usize = 5;
    /// Alternatives of one field.
    pub const PATTERNS: usize = 200;
    pub const PATTERN: usize = 400;
    pub const REGEX: usize = 500;
    /// Learned patterns of one rule, each way.
    pub const LEARNED: usize = 500;
    /// As long as an audit entry takes as a technical name.
    pub const NAME: usize = 48;
    pub const DESCRIPTION: usize = 300;
    pub const LLM_CONDITION: usize = 500;
}

/// Compiled rules in the order in which they are tried.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    pub(crate) rules: Vec<Rule>,
    /// Bytes that it takes, about.
    weight: usize,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    pub name: String,
    pub description: Option<String>,
    /// Lower is tried earlier.
    pub priority: i64,
    pub enabled: bool,
    pub op: Op,
    /// A question about the message that only a model can answer; the rule applies if the answer is yes.
    pub llm_condition: Option<String>,
    /// Whether it applies to replies too.
    pub run_on_threads: bool,
    /// Whether no later rule is tried once it applied.
    pub stop: bool,
    pub settings: Settings,
    pub actions: Vec<RuleAction>,
    conditions: Match,
    includes: Vec<Learned>,
    excludes: Vec<Learned>,
}

/// The parts of a judgement that a rule fixes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    pub category: Option<Category>,
    pub disposition: Option<Disposition>,
    pub priority: Option<Priority>,
    pub sla: Option<Sla>,
}

/// An action of a rule; its texts may contain placeholders.
#[derive(Clone, Debug)]
pub struct RuleAction {
    pub kind: ActionType,
    pub params: Params,
    pub confirmation: Confirmation,
}

/// A fault of a rule set, for the person who wrote it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct RuleFault {
    /// JSON pointer into the document, such as `/rules/2/match/from`.
    pub pointer: String,
    /// Stable and machine-readable, such as `MISSING_FIELD`.
    pub code: &'static str,
    pub message: String,
}

impl RuleSet {
    /// Reads and checks a set.
    ///
    /// # Errors
    /// All faults, in the order of the document.
    pub fn compile(yaml: &str) -> Result<Self, Vec<RuleFault>> {
        compile::compile(yaml)
    }

    /// The bytes of memory that the set takes, about: its expressions are counted at their limits.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// The rules in the order in which they are tried.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

impl Rule {
    /// Lists the actions that the rule proposes for this message.
    pub fn proposals(&self, mail: &Mail) -> Vec<Proposal> {
        self.actions
            .iter()
            .map(|action| Proposal {
                kind: action.kind,
                params: action
                    .params
                    .map_text(action.kind, |text| template::fill(text, mail)),
                confirmation: action.confirmation,
                confidence: RULE_CONFIDENCE,
                rationale: Some(format!("Rule {}", self.name)),
            })
            .collect()
    }
}

impl Op {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::And => "AND",
            Self::Or => "OR",
        }
    }
}
