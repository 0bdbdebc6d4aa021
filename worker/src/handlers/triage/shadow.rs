//! `triage.shadow`: has a second model or prompt judge an email that was judged already, and compares: [`ShadowHandler`].
//!
//! A sampled triage enqueues it with its outcome ([`follow_up`](super::follow_up)), so that it can neither delay nor fail the
//! triage. It has no effects: it writes its own output, which holds words of closed sets only. A model that is unavailable or refused
//! by a budget or a rate leaves the comparison out; nobody waits for it, so that it is not asked again.

mod metrics;

pub use metrics::ShadowMetrics;

use super::load::load;
use super::mailbox;
use super::merge::{ModelAnswer, merge};
use super::parse_reply::parse_reply;
use super::rule_cache::RuleCache;
use super::thread_status::Contact;
use super::{judge, prompt};
use crate::handlers::{
    ask::{AskError, ModelAccess, Question, ask, usage_of_job},
    internal, unavailable,
};
use crate::prompts::{SHADOW_TASK, TRIAGE, triage_schema};
use crate::shadow::ShadowPrompt;
use async_trait::async_trait;
use jobs::{
    domain::{llm::urgency::Urgency, rules::Verdict},
    kinds::{
        triage::{self, LlmUsage, Mode},
        triage_shadow::{
            Args, ComparedField, ComparedJudgement, Output, ShadowOutcome, TriageShadow,
        },
    },
};
use llm::{LlmError, NotAdmitted, Prompt};
use queue::runtime::handler::{Handler, JobContext, SettleWrites, Settlement};
use queue::{Failure, FailureClass, Job};
use sqlx::PgConnection;
use tokio::time::Instant;

/// Compares judgements.
pub struct ShadowHandler {
    model: ModelAccess,
    /// In place of the shipped one.
    prompt: Option<ShadowPrompt>,
    metrics: ShadowMetrics,
    rules: RuleCache,
}

impl ShadowHandler {
    pub fn new(model: ModelAccess, prompt: Option<ShadowPrompt>, metrics: ShadowMetrics) -> Self {
        Self {
            model,
            prompt,
            metrics,
            rules: RuleCache::default(),
        }
    }
}

#[async_trait]
impl Handler for ShadowHandler {
    type Kind = TriageShadow;

    async fn run(&self, ctx: &JobContext, args: Args) -> Result<Settlement, Failure> {
        let (second, reason) = match self.judge(ctx, &args).await? {
            Second::Judged(judgement) => (Some(judgement), None),
            Second::Missing(reason) => (None, Some(reason)),
        };
        let differs = (second.as_ref()).map_or_else(Vec::new, |second| args.first.differs(second));
        let outcome = match &second {
            None => ShadowOutcome::Unanswered,
            Some(_) if differs.is_empty() => ShadowOutcome::Agreed,
            Some(_) => ShadowOutcome::Differed,
        };
        let usage = usage_of_job(ctx, &self.model, LlmUsage::default());
        let llm = usage.await.map_err(|error| unavailable(&error))?;
        let counted = Counted {
            metrics: self.metrics.clone(),
            outcome,
            differs: differs.clone(),
        };
        let output = Output {
            job: args.job,
            outcome,
            differs,
            first: args.first,
            second,
            reason: reason.map(str::to_owned),
            prompt_version: self.base().version().to_owned(),
            llm,
        };
        let output = serde_json::to_value(output).map_err(|error| internal(&error))?;
        Ok(Settlement::of(output).with(counted))
    }
}

/// Counts the comparison once its outcome is committed; writes nothing.
struct Counted {
    metrics: ShadowMetrics,
    outcome: ShadowOutcome,
    differs: Vec<ComparedField>,
}

#[async_trait]
impl SettleWrites for Counted {
    async fn apply(&self, _: &mut PgConnection, _: &Job) -> Result<(), sqlx::Error> {
        Ok(())
    }

    fn committed(&self) {
        self.metrics.compared(self.outcome, &self.differs);
    }
}

/// What the second model says.
enum Second {
    Judged(ComparedJudgement),
    /// The class of the failure.
    Missing(&'static str),
}

impl ShadowHandler {
    /// Starts the prompt with the instructions of the second judge.
    fn base(&self) -> Prompt {
        match &self.prompt {
            Some(prompt) => prompt.prompt(),
            None => TRIAGE.prompt(),
        }
    }

    /// Judges as the triage did: the same rules, checks and merge.
    async fn judge(&self, ctx: &JobContext, args: &Args) -> Result<Second, Failure> {
        let tenant = ctx.job.lease.tenant;
        let triage = triage::Args {
            message_id: args.message_id,
            mode: args.mode,
            dry_run: true,
            // The result of the first judge is there, and is not to be repeated.
            force: true,
            ruleset_version: args.ruleset_version,
            api_key: args.api_key,
            urgency: Urgency::Now,
        };
        let mut case = match load(&ctx.pool, &self.rules, tenant, &triage).await {
            Ok(case) => case,
            // Deleted or erased meanwhile, or its rules cannot be read any more.
            Err(failure) if failure.class == FailureClass::Permanent => {
                return Ok(Second::Missing("not_stored"));
            }
            Err(failure) => return Err(failure),
        };
        case.mailbox =
            mailbox::load(&ctx.pool, tenant, case.owner, &case.mail, args.asked_on).await?;
        let verdict = match args.mode {
            Mode::RulesThenLlm | Mode::RulesOnly => case.rules.evaluate(&case.mail),
            Mode::LlmOnly => Verdict::default(),
        };
        let candidates: Vec<&str> = (verdict.candidates.iter())
            .map(|rule| rule.name.as_str())
            .collect();
        let question = Question {
            task: SHADOW_TASK,
            step: "shadow",
            prompt: prompt::question_by(self.base(), &case, &verdict, args.asked_on),
            schema: triage_schema(&candidates),
            max_output_tokens: judge::MAX_OUTPUT_TOKENS,
            same_today: None,
            // The cheaper tier, where there is one: nobody waits for the answer.
            urgency: Urgency::Soon,
            falls_back: false,
            deadline: Instant::now() + judge::BUDGET,
        };
        let completion = match ask(ctx, &self.model, question).await {
            Ok(completion) => completion,
            Err(error) => return unanswered(error),
        };
        Ok(
            match parse_reply(&completion.text, &case.mail, &candidates) {
                Ok(reply) => {
                    let contact = Contact::with(&case.mail, &case.correspondents);
                    let answer = ModelAnswer::Reply(reply);
                    let decision = merge(&case.mail, &verdict, &answer, contact);
                    let actions = decision.proposals.iter().map(|proposal| proposal.kind);
                    Second::Judged(ComparedJudgement::of(&decision.judgement, actions))
                }
                // Not repaired: that the model needs it is what the comparison is to show.
                Err(fault) => Second::Missing(judge::reason(fault.class).as_str()),
            },
        )
    }
}

/// Returns the class of the failure. Fails only if the attempt must end: it lost its lease, or our database failed.
fn unanswered(error: AskError) -> Result<Second, Failure> {
    match error {
        AskError::LeaseLost => Err(Failure::interrupted()),
        AskError::Database(error) => Err(unavailable(&error)),
        AskError::Batched { .. } | AskError::NotRecorded { .. } => {
            Ok(Second::Missing("not_recorded"))
        }
        AskError::Model { last, .. } => match &last.error {
            LlmError::Cancelled | LlmError::NotAdmitted(NotAdmitted::LeaseLost) => {
                Err(Failure::interrupted())
            }
            LlmError::NotAdmitted(refusal) => Ok(Second::Missing(refusal.class())),
            error => Ok(Second::Missing(error.class())),
        },
    }
}
