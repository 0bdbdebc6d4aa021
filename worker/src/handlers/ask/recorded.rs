//! Answers that a job got before, in place of a model: [`RecordedAnswers`].

use crate::recording::Exchange;
use llm::Completion;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An answer and the question that it belongs to.
#[derive(Clone, Debug)]
pub struct RecordedAnswer {
    pub step: String,
    pub prompt_sha256: String,
    pub completion: Completion,
}

/// A question of a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayedStep {
    pub step: &'static str,
    pub answer: ReplayedAnswer,
}

/// What answered a question of a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayedAnswer {
    /// The answer to exactly this prompt.
    SamePrompt,
    /// The answer to the prompt of then, which today's code does not send any more.
    OtherPrompt,
    /// Nothing: the job did not ask this question.
    Missing,
}

/// The answers of a job that are left, and what was asked so far; clones share them.
#[derive(Clone, Debug)]
pub struct RecordedAnswers(Arc<Mutex<Replay>>);

#[derive(Debug)]
struct Replay {
    left: Vec<RecordedAnswer>,
    steps: Vec<ReplayedStep>,
}

impl RecordedAnswer {
    /// Returns the answer of an exchange, if it has one.
    pub fn of(exchange: Exchange) -> Option<Self> {
        Some(Self {
            step: exchange.step,
            prompt_sha256: exchange.prompt_sha256,
            completion: exchange.answer?,
        })
    }
}

impl RecordedAnswers {
    /// Takes the answers in the order in which the job got them.
    pub fn new(answers: Vec<RecordedAnswer>) -> Self {
        Self(Arc::new(Mutex::new(Replay {
            left: answers,
            steps: Vec::new(),
        })))
    }

    /// Lists the questions so far.
    pub fn steps(&self) -> Vec<ReplayedStep> {
        self.lock().steps.clone()
    }

    /// Takes the answer to this prompt, else that of the same step, else the next one.
    pub(super) fn take(&self, step: &'static str, prompt_sha256: &str) -> Option<Completion> {
        let mut replay = self.lock();
        let left = &replay.left;
        let same_prompt = left.iter().position(|it| it.prompt_sha256 == prompt_sha256);
        let same_step = || left.iter().position(|it| it.step == step);
        let found = same_prompt.or_else(same_step);
        let found = found.or_else(|| (!left.is_empty()).then_some(0));
        let answer = match (same_prompt, found) {
            (Some(_), _) => ReplayedAnswer::SamePrompt,
            (None, Some(_)) => ReplayedAnswer::OtherPrompt,
            (None, None) => ReplayedAnswer::Missing,
        };
        replay.steps.push(ReplayedStep { step, answer });
        found.map(|at| replay.left.remove(at).completion)
    }

    fn lock(&self) -> MutexGuard<'_, Replay> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use llm::{FinishReason, ServiceTier, TokenUsage};
    use std::time::Duration;

    fn answer(step: &str, prompt_sha256: &str) -> RecordedAnswer {
        RecordedAnswer {
            step: step.to_owned(),
            prompt_sha256: prompt_sha256.to_owned(),
            completion: Completion {
                text: format!("{step} {prompt_sha256}"),
                usage: TokenUsage::default(),
                model: "m".to_owned(),
                finish: FinishReason::Stop,
                tier: ServiceTier::Standard,
                tries: 1,
                duration: Duration::ZERO,
                prompt_bytes: 0,
                response_bytes: 0,
            },
        }
    }

    #[test]
    fn answer_is_found_by_prompt_then_by_step_then_in_order() {
        let answers = RecordedAnswers::new(vec![
            answer("triage", "a"),
            answer("triage.repair", "b"),
            answer("triage", "c"),
        ]);
        let take = |step, hash| answers.take(step, hash).map(|answer| answer.text);
        assert_eq!(take("triage", "c").as_deref(), Some("triage c"));
        assert_eq!(
            take("triage.repair", "x").as_deref(),
            Some("triage.repair b")
        );
        assert_eq!(take("triage.again", "x").as_deref(), Some("triage a"));
        assert_eq!(take("triage", "a"), None);
        let found: Vec<_> = answers.steps().iter().map(|step| step.answer).collect();
        assert_eq!(
            found,
            [
                ReplayedAnswer::SamePrompt,
                ReplayedAnswer::OtherPrompt,
                ReplayedAnswer::OtherPrompt,
                ReplayedAnswer::Missing
            ]
        );
    }
}
