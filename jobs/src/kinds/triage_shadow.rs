//! `triage.shadow`: judges an email again with another model or prompt and compares the two judgements. Nothing follows from it.

use super::triage::{LlmUsage, Mode, Triage};
use crate::domain::{
    ApiKeyId, MessageId,
    action::ActionType,
    judgement::{Category, Disposition, Judgement, Priority, Sla},
};
use base::{JobId, str_enum};
use chrono::{DateTime, Utc};
use queue::{JobKind, RetryPolicy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The kind of job; see [`Args`] and [`Output`].
pub struct TriageShadow;

impl JobKind for TriageShadow {
    const NAME: &'static str = "triage.shadow";
    const QUEUE: &'static str = Triage::QUEUE;
    const TIMEOUT: Duration = Triage::TIMEOUT;

    type Args = Args;
    type Output = Output;

    fn retry_policy() -> RetryPolicy {
        RetryPolicy {
            max_attempts: 3,
            ..Triage::retry_policy()
        }
    }
}

/// The job's arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// The job whose judgement is compared.
    pub job: JobId,
    pub message_id: MessageId,
    pub mode: Mode,
    pub ruleset_version: i32,
    /// The time in the first model's prompt.
    pub asked_on: DateTime<Utc>,
    pub first: ComparedJudgement,
    /// The API key that submitted the email; its budgets cover this call too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<ApiKeyId>,
}

/// The part of a judgement that is compared: words of closed sets, nothing of the email.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ComparedJudgement {
    pub category: Category,
    pub disposition: Disposition,
    pub priority: Priority,
    pub sla: Sla,
    /// Types of the proposed actions, in the order of the alphabet.
    pub actions: Vec<ActionType>,
    pub injection_suspected: bool,
}

str_enum! {
    /// A part of a judgement.
    ComparedField {
        Category = "category",
        Disposition = "disposition",
        Priority = "priority",
        Sla = "sla",
        Actions = "actions",
        InjectionSuspected = "injection_suspected",
    }
}

str_enum! {
    /// How a comparison ended.
    ShadowOutcome {
        Agreed = "agreed",
        Differed = "differed",
        /// The second model gave no usable answer, or the email is not stored any more.
        Unanswered = "unanswered",
    }
}

/// The output of the job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TriageShadowOutput")]
pub struct Output {
    /// The job whose judgement is compared.
    pub job: JobId,
    pub outcome: ShadowOutcome,
    /// The fields in which the judgements differ.
    pub differs: Vec<ComparedField>,
    pub first: ComparedJudgement,
    /// Null if there is none.
    pub second: Option<ComparedJudgement>,
    /// Why there is none.
    pub reason: Option<String>,
    /// The version of the second prompt.
    pub prompt_version: String,
    pub llm: LlmUsage,
}

impl ComparedJudgement {
    /// Takes what is compared from a judgement and its proposed actions.
    pub fn of(judgement: &Judgement, actions: impl IntoIterator<Item = ActionType>) -> Self {
        let mut actions: Vec<ActionType> = actions.into_iter().collect();
        actions.sort_by_key(|action| action.as_str());
        Self {
            category: judgement.category,
            disposition: judgement.disposition,
            priority: judgement.priority,
            sla: judgement.sla,
            actions,
            injection_suspected: judgement.injection_suspected,
        }
    }

    /// Lists the fields in which the judgements differ.
    pub fn differs(&self, other: &Self) -> Vec<ComparedField> {
        let mut fields = ComparedField::ALL.to_vec();
        fields.retain(|field| match field {
            ComparedField::Category => self.category != other.category,
            ComparedField::Disposition => self.disposition != other.disposition,
            ComparedField::Priority => self.priority != other.priority,
            ComparedField::Sla => self.sla != other.sla,
            ComparedField::Actions => self.actions != other.actions,
            ComparedField::InjectionSuspected => {
                self.injection_suspected != other.injection_suspected
            }
        });
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::judgement::{Source, ThreadStatus};

    fn judgement() -> Judgement {
        Judgement {
            category: Category::Fyi,
            disposition: Disposition::Notify,
            priority: Priority::Low,
            sla: Sla::None,
            confidence: 0.9,
            rationale: "Mossy is ill.".to_owned(),
            source: Source::Llm,
            rules_applied: vec!["Pets".to_owned()],
            injection_suspected: false,
            degraded: false,
            thread_status: ThreadStatus::Fyi,
        }
    }

    #[test]
    fn judgements_are_compared_field_by_field_whatever_the_order_of_actions() {
        let (label, star) = (ActionType::Label, ActionType::Star);
        let first = ComparedJudgement::of(&judgement(), [star, label]);
        let same = ComparedJudgement::of(&judgement(), [label, star]);
        assert_eq!(first.differs(&same), []);
        let other = Judgement {
            category: Category::Task,
            sla: Sla::Day,
            injection_suspected: true,
            ..judgement()
        };
        let other = ComparedJudgement::of(&other, [label]);
        assert_eq!(
            first.differs(&other),
            [
                ComparedField::Category,
                ComparedField::Sla,
                ComparedField::Actions,
                ComparedField::InjectionSuspected
            ]
        );
    }

    #[test]
    fn compared_judgement_holds_nothing_of_the_email_or_the_rules() {
        let compared = ComparedJudgement::of(&judgement(), []);
        let text = serde_json::to_string(&compared).unwrap();
        assert!(!text.contains("Mossy") && !text.contains("Pets"), "{text}");
    }
}
