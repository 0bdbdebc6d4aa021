//! `draft.generate`: writes a draft in a user's name, for that user to approve.
//!
//! [`DraftHandler`] works in one direction: [`load`] reads the facts, [`guards`] and `jobs::domain::draft::headers` decide
//! whether a draft is needed and who receives it (pure), [`compose`] lets the model write the text with one repair, and
//! [`writes`] holds the writes of the settling transaction.
//!
//! Sends nothing: every version needs an approval, whatever the trust mode.

mod busy;
mod compose;
mod guards;
pub(super) mod load;
pub(super) mod memory;
mod metrics;
mod output;
mod parse_reply;
mod prompt;
mod question;
mod writes;

pub use metrics::DraftMetrics;

use crate::handlers::{ask::ModelAccess, internal};
use crate::providers::Providers;
use async_trait::async_trait;
use compose::{Composed, compose};
use guards::Target;
use jobs::{
    domain::{
        DraftId,
        draft::{
            Confidence, DraftMode, Origin, OutgoingMessage,
            approval::{Proposed, approval_of, payload_of},
            original,
        },
    },
    kinds::draft::{Args, DraftGenerate, NotNeeded, Output},
    store::{draft_versions::Making, drafts::NewDraft},
};
use load::{Case, load};
use parse_reply::Reply;
use queue::Failure;
use queue::runtime::handler::{Handler, JobContext, Settlement};
use writes::{DraftResult, DraftWrites, NewVersion};

/// Writes drafts.
pub struct DraftHandler {
    model: ModelAccess,
    /// Below this confidence, the draft becomes open questions.
    floor: Confidence,
    metrics: DraftMetrics,
    /// Opens the writer's calendar; none in a replay.
    providers: Option<Providers>,
}

impl DraftHandler {
    pub fn new(model: impl Into<ModelAccess>, floor: Confidence, metrics: DraftMetrics) -> Self {
        Self {
            model: model.into(),
            floor,
            metrics,
            providers: None,
        }
    }

    /// Has drafts know when their writer is busy by the writer's calendar.
    #[must_use]
    pub fn with_calendars(self, providers: Providers) -> Self {
        Self {
            providers: Some(providers),
            ..self
        }
    }
}

#[async_trait]
impl Handler for DraftHandler {
    type Kind = DraftGenerate;

    async fn run(&self, ctx: &JobContext, args: Args) -> Result<Settlement, Failure> {
        let mut case = load(ctx, &args).await?;
        let outgoing = match guards::target(&case, &args, ctx.job.created_at) {
            Target::Draft(outgoing) => *outgoing,
            Target::NotNeeded(why) => return self.not_needed(&args, why),
        };
        if let Some(providers) = &self.providers {
            let known = busy::of_calendar(ctx, providers, &case).await;
            case.taken.extend(known);
        }
        case.taken = busy::joined(case.taken);
        let Composed {
            reply,
            model,
            usage,
        } = compose(ctx, &self.model, &case, &args, &outgoing).await?;
        if reply.is_question() || reply.confidence < self.floor {
            let reply = reply.with_question();
            let output = Output {
                llm: usage,
                ..output::of_questions(&args, &reply)
            };
            let questions = DraftResult::Questions {
                item: question::item(&case, &reply, ctx.job.lease.job),
                revised: case.base.as_ref().map(|base| base.draft.approval),
            };
            return self.settle(&output, questions, &args);
        }
        let outgoing = OutgoingMessage {
            subject: reply.subject.clone().unwrap_or(outgoing.subject),
            body_text: match case.original(&args) {
                Some(original) => original::above(&reply.body_text, &original),
                None => reply.body_text.clone(),
            },
            ..outgoing
        };
        if args.dry_run {
            let output = Output {
                llm: usage,
                ..output::of_preview(&args, &reply, &outgoing)
            };
            return self.settle(&output, DraftResult::Nothing, &args);
        }
        let version = new_version(ctx, &case, &args, outgoing, &reply, model);
        let output = Output {
            llm: usage,
            ..output::of_version(&args, &reply, &case, &version)
        };
        self.settle(&output, DraftResult::Version(Box::new(version)), &args)
    }
}

/// Builds the new version and its approval.
fn new_version(
    ctx: &JobContext,
    case: &Case,
    args: &Args,
    outgoing: OutgoingMessage,
    reply: &Reply,
    model: String,
) -> NewVersion {
    let base = case.base.as_ref();
    let draft = base.map_or_else(DraftId::new, |base| base.draft.id);
    let number = base.map_or(1, |base| base.draft.version + 1);
    let everybody: Vec<String> = [&outgoing.to, &outgoing.cc, &outgoing.bcc]
        .into_iter()
        .flatten()
        .cloned()
        .collect();
    let notice = case.notice(&outgoing.to);
    let proposed = Proposed {
        draft,
        version: number,
        content_hash: outgoing.content_hash(),
        subject: &outgoing.subject,
        send_at: outgoing.send_at,
        recipients: &everybody,
        notice: notice.as_deref(),
        message: case.message(),
        risk: case.risk(),
        confidence: reply.confidence.as_share(),
    };
    let renewed = base.filter(|base| base.renews_its_approval());
    let payload = payload_of(&proposed);
    let approval = match renewed {
        Some(_) => None,
        None => Some(approval_of(&proposed, ctx.clock.now())),
    };
    let user = args.user.or(case.writer.as_ref().map(|writer| writer.user));
    NewVersion {
        new: match (base, &approval) {
            (None, Some(approval)) => Some(NewDraft {
                id: draft,
                mode: args.mode,
                message: case.message(),
                user,
                approval: approval.id,
                original_sent_at: case.original_sent_at(args.mode),
                follow_up_days: args.follow_up_days,
            }),
            _ => None,
        },
        draft,
        number,
        former_approval: base.map(|base| base.draft.approval),
        payload,
        approval,
        asked_by: args.user,
        making: Making {
            origin: match args.mode {
                DraftMode::Revise => Origin::Revise,
                DraftMode::Reply
                | DraftMode::ReplyAll
                | DraftMode::Compose
                | DraftMode::Forward
                | DraftMode::FollowUp => Origin::Llm,
            },
            instructions: args.instructions.clone(),
            tone: case.tone(args),
            confidence: reply.confidence,
            language: reply.language.clone(),
            assumptions: reply.assumptions.clone(),
            open_questions: reply.open_questions.clone(),
            memory_ids: reply.used_memory_ids.clone(),
            model: Some(model),
            prompt_version: Some(crate::prompts::DRAFT.version.to_owned()),
            job: ctx.job.lease.job,
        },
        message: outgoing,
    }
}

impl DraftHandler {
    fn not_needed(&self, args: &Args, why: NotNeeded) -> Result<Settlement, Failure> {
        tracing::debug!(why = why.as_str(), "no draft is needed");
        let output = output::of_not_needed(args, why);
        self.settle(&output, DraftResult::Nothing, args)
    }

    fn settle(
        &self,
        output: &Output,
        result: DraftResult,
        args: &Args,
    ) -> Result<Settlement, Failure> {
        let outcome = output.outcome;
        let output = serde_json::to_value(output).map_err(|error| internal(&error))?;
        Ok(Settlement::of(output).with(DraftWrites {
            outcome,
            result,
            dry_run: args.dry_run,
            follow_up: args.follow_up,
            metrics: self.metrics.clone(),
        }))
    }
}
