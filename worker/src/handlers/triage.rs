//! `triage.email`: judges one email and proposes actions.
//!
//! [`TriageHandler`] works in one direction: [`load`] reads the facts; [`guards`], the rules, [`merge`] and the gate in [`plan`]
//! decide (pure), with at most one model call and one repair in between ([`judge`]); [`writes`] holds the writes of the
//! settling transaction.
//!
//! Executes nothing: another job executes what the gate lets through ([`follow_up`]), and the rest gets an approval.

mod bounced;
pub mod evaluate;
mod follow_up;
mod guards;
mod item;
mod judge;
mod load;
mod mailbox;
mod merge;
mod metrics;
mod output;
mod own_email;
mod parse_reply;
mod plan;
mod prompt;
mod rule_cache;
pub mod shadow;
mod thread_status;
mod writes;

pub use metrics::TriageMetrics;

use crate::handlers::{ask::ModelAccess, internal};
use crate::prompts::TRIAGE;
use crate::shadow::ShadowConfig;
use async_trait::async_trait;
use jobs::{
    domain::{mail::Direction, rules::Verdict},
    kinds::triage::{Args, LlmUsage, Mode, Output, Triage},
    store::{proposed_actions::StoredAction, triage_results::FormerResult},
};
use judge::{Judged, judge};
use load::{Case, load};
use merge::{ModelAnswer, merge};
use plan::Plan;
use queue::Failure;
use queue::runtime::handler::{Handler, JobContext, Settlement};
use rule_cache::RuleCache;
use thread_status::Contact;
use writes::{NewFinding, TriageResult, TriageWrites};

/// Triages emails.
pub struct TriageHandler {
    model: ModelAccess,
    metrics: TriageMetrics,
    rules: RuleCache,
    shadow: ShadowConfig,
}

impl TriageHandler {
    pub fn new(model: impl Into<ModelAccess>, metrics: TriageMetrics) -> Self {
        Self {
            model: model.into(),
            metrics,
            rules: RuleCache::default(),
            shadow: ShadowConfig::default(),
        }
    }

    /// Has a share of the judgements compared with those of a second model or prompt.
    #[must_use]
    pub fn compared(self, shadow: ShadowConfig) -> Self {
        Self { shadow, ..self }
    }
}

#[async_trait]
impl Handler for TriageHandler {
    type Kind = Triage;

    async fn run(&self, ctx: &JobContext, args: Args) -> Result<Settlement, Failure> {
        let mut case = load(&ctx.pool, &self.rules, ctx.job.lease.tenant, &args).await?;
        if let Some((former, actions)) = case.former.take() {
            return self.repeat(&case, &args, former, &actions);
        }
        let guard = match &case.bounced {
            Some(_) => Some(guards::Guard::Bounce),
            None => guards::guard(&case.mail, &case.correspondents),
        };
        if let Some(guard) = guard {
            tracing::debug!(guard = guard.as_str(), "the email needs no triage");
            let plan = Plan::without_actions(guard.judgement());
            return self.settle(
                ctx,
                &case,
                &args,
                plan,
                LlmUsage::default(),
                ModelUse::NotCalled,
            );
        }
        let verdict = match args.mode {
            Mode::RulesThenLlm | Mode::RulesOnly => case.rules.evaluate(&case.mail),
            Mode::LlmOnly => Verdict::default(),
        };
        let now = ctx.clock.now();
        let needs_model = match args.mode {
            Mode::RulesThenLlm => verdict.needs_model(),
            Mode::RulesOnly => false,
            Mode::LlmOnly => true,
        };
        if needs_model {
            let (tenant, asked_on) = (ctx.job.lease.tenant, ctx.job.created_at);
            case.mailbox =
                mailbox::load(&ctx.pool, tenant, case.owner, &case.mail, asked_on).await?;
        }
        let (model_use, Judged { answer, usage }) = if needs_model {
            (
                ModelUse::Called,
                judge(ctx, &self.model, &case, &verdict, args.urgency).await?,
            )
        } else {
            (
                ModelUse::NotCalled,
                Judged {
                    answer: ModelAnswer::NotCalled,
                    usage: LlmUsage::default(),
                },
            )
        };
        let contact = Contact::with(&case.mail, &case.correspondents);
        let decision = merge(&case.mail, &verdict, &answer, contact);
        let plan = Plan::gated(decision, &case, now);
        let model_use = match answer {
            ModelAnswer::Outage => ModelUse::Unavailable,
            ModelAnswer::NotCalled | ModelAnswer::Reply(_) | ModelAnswer::Unusable => model_use,
        };
        self.settle(ctx, &case, &args, plan, usage, model_use)
    }
}

/// Whether the job called a model.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ModelUse {
    Called,
    NotCalled,
    /// It was needed, and unavailable for as long as the tenant waits.
    Unavailable,
}

impl TriageHandler {
    fn settle(
        &self,
        ctx: &JobContext,
        case: &Case,
        args: &Args,
        plan: Plan,
        usage: LlmUsage,
        model_use: ModelUse,
    ) -> Result<Settlement, Failure> {
        let output = output::of_plan(case, args, &plan, usage);
        let mut follow_up = follow_up::of_plan(ctx, args, &plan)?;
        let is_outage = model_use == ModelUse::Unavailable;
        if is_outage && !args.dry_run {
            follow_up.push(follow_up::judge_again(ctx, args)?);
        }
        let is_answered = model_use == ModelUse::Called && !plan.judgement.degraded;
        if is_answered && !args.dry_run && self.shadow.samples(ctx.job.lease.job) {
            follow_up.push(follow_up::compare(ctx, args, &plan)?);
        }
        let result = if args.dry_run {
            TriageResult::AuditOnly(plan)
        } else {
            TriageResult::All(Box::new(NewFinding {
                item: item::of(case, &plan.judgement),
                plan,
                content_hash: case.content_hash,
                owner: case.owner,
                sender: case.sender(),
                bounced: case.bounced.clone(),
                mode: args.mode,
                forced: args.force,
                prompt_version: (model_use == ModelUse::Called).then_some(TRIAGE.version),
                is_outage,
                email: case.judged_email(),
                replaces: case.outage_jobs.clone(),
            }))
        };
        Ok(self
            .settlement(case, args, &output, result)?
            .then(follow_up))
    }

    /// Returns the earlier result: the same rules have judged this email already.
    fn repeat(
        &self,
        case: &Case,
        args: &Args,
        former: FormerResult,
        actions: &[StoredAction],
    ) -> Result<Settlement, Failure> {
        let output = output::of_former(case, args, &former.judgement, actions);
        let result = TriageResult::Former {
            job: former.job,
            judgement: former.judgement,
        };
        self.settlement(case, args, &output, result)
    }

    fn settlement(
        &self,
        case: &Case,
        args: &Args,
        output: &Output,
        result: TriageResult,
    ) -> Result<Settlement, Failure> {
        let output = serde_json::to_value(output).map_err(|error| internal(&error))?;
        Ok(Settlement::of(output).with(TriageWrites {
            message: case.message,
            own: case.correspondents.own_sender || case.mail.direction == Direction::Out,
            own_email: own_email::of(case),
            own_copy: own_email::copy_of(&case.mail),
            ruleset_version: args.ruleset_version,
            result,
            metrics: self.metrics.clone(),
        }))
    }
}
