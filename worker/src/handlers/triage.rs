//! `triage.email`: what one mail means and what should be done about it.
//!
//! [`TriageHandler`] goes in one direction: [`load`] what is known, decide (pure: [`guards`], rules, [`merge`], the gate in
//! [`plan`]) with at most one question to the model and one repair in between ([`judge`]), and leave everything to be
//! written to the transaction that settles the job ([`writes`]).
//!
//! Executes nothing: what the gate lets through is done by a job of its own ([`follow_up`]), and what needs a person has its
//! approval.

mod follow_up;
mod guards;
mod item;
mod judge;
mod load;
mod merge;
mod metrics;
mod output;
pub(super) mod parse_reply;
mod plan;
mod prompt;
mod standing;
mod writes;

pub use metrics::TriageMetrics;

use crate::prompts::TRIAGE;
use async_trait::async_trait;
use jobs::{
    domain::{mail::Direction, rules::Verdict},
    kinds::triage::{Args, LlmUsage, Mode, Output, Triage},
    store::{proposed_actions::StoredAction, triage_results::FormerResult},
};
use judge::{Judged, judge};
use llm::Model;
use load::{Case, load};
use merge::{Answer, merge};
use plan::Plan;
use queue::Failure;
use queue::runtime::handler::{Handler, JobContext, Settlement};
use standing::Contact;
use writes::{Kept, NewFinding, TriageWrites};

/// Judges mail.
pub struct TriageHandler {
    model: Model,
    metrics: TriageMetrics,
}

impl TriageHandler {
    pub fn new(model: Model, metrics: TriageMetrics) -> Self {
        Self { model, metrics }
    }
}

#[async_trait]
impl Handler for TriageHandler {
    type Kind = Triage;

    async fn run(&self, ctx: &JobContext, args: Args) -> Result<Settlement, Failure> {
        let mut case = load(&ctx.pool, ctx.job.tenant, &args).await?;
        if let Some((former, actions)) = case.former.take() {
            return self.repeat(&case, &args, former, &actions);
        }
        if let Some(guard) = guards::guard(&case.mail, &case.correspondents) {
            tracing::debug!(guard = guard.as_str(), "nothing to judge");
            let plan = Plan::without_actions(guard.judgement());
            return self.settle(ctx, &case, &args, plan, LlmUsage::default(), Asked::No);
        }
        let verdict = match args.mode {
            Mode::RulesThenLlm | Mode::RulesOnly => case.rules.evaluate(&case.mail),
            Mode::LlmOnly => Verdict::default(),
        };
        let now = ctx.clock.now();
        let ask = match args.mode {
            Mode::RulesThenLlm => verdict.needs_model(),
            Mode::RulesOnly => false,
            Mode::LlmOnly => true,
        };
        let (asked, Judged { answer, usage }) = if ask {
            (
                Asked::Yes,
                judge(ctx, &self.model, &case, &verdict, now).await?,
            )
        } else {
            (
                Asked::No,
                Judged {
                    answer: Answer::NotAsked,
                    usage: LlmUsage::default(),
                },
            )
        };
        let contact = Contact::with(&case.mail, &case.correspondents);
        let decision = merge(&case.mail, &verdict, &answer, contact);
        let plan = Plan::gated(decision, &case, now);
        self.settle(ctx, &case, &args, plan, usage, asked)
    }
}

/// Whether a model was asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Yes,
    No,
}

impl TriageHandler {
    fn settle(
        &self,
        ctx: &JobContext,
        case: &Case,
        args: &Args,
        plan: Plan,
        usage: LlmUsage,
        asked: Asked,
    ) -> Result<Settlement, Failure> {
        let output = output::of_plan(case, args, &plan, usage);
        let follow_up = follow_up::of_plan(ctx, args, &plan)?;
        let kept = if args.dry_run {
            Kept::AuditOnly(plan)
        } else {
            Kept::All(Box::new(NewFinding {
                item: item::of(case, &plan.judgement),
                plan,
                content_hash: case.content_hash,
                mode: args.mode,
                forced: args.force,
                prompt_version: (asked == Asked::Yes).then_some(TRIAGE.version),
            }))
        };
        Ok(self.settlement(case, args, &output, kept)?.then(follow_up))
    }

    /// The same rules have judged this mail: their word stands, and nothing is done twice.
    fn repeat(
        &self,
        case: &Case,
        args: &Args,
        former: FormerResult,
        actions: &[StoredAction],
    ) -> Result<Settlement, Failure> {
        let output = output::of_former(case, args, &former.judgement, actions);
        let kept = Kept::Former {
            job: former.job,
            judgement: former.judgement,
        };
        self.settlement(case, args, &output, kept)
    }

    fn settlement(
        &self,
        case: &Case,
        args: &Args,
        output: &Output,
        kept: Kept,
    ) -> Result<Settlement, Failure> {
        let output = serde_json::to_value(output).map_err(|error| {
            Failure::permanent(
                "internal_error",
                "Something went wrong on our side.",
                error.to_string(),
            )
        })?;
        Ok(Settlement::of(output).with(TriageWrites {
            message: case.message,
            own: case.correspondents.own_sender || case.mail.direction == Direction::Out,
            ruleset_version: args.ruleset_version,
            kept,
            metrics: self.metrics.clone(),
        }))
    }
}
