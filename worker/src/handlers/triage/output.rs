//! Builds the job's output.

use super::load::Case;
use super::plan::Plan;
use jobs::{
    domain::judgement::Judgement,
    kinds::triage::{ActionOutput, Args, LlmUsage, MessageSummary, Output, rounded},
    store::proposed_actions::StoredAction,
};

/// Builds the output of a new result. A dry run shows the gate's decision but no approval, because none exists.
pub(super) fn of_plan(case: &Case, args: &Args, plan: &Plan, llm: LlmUsage) -> Output {
    let actions = plan
        .actions
        .iter()
        .map(|action| ActionOutput {
            id: action.id,
            r#type: action.proposal.kind.to_string(),
            risk: action.risk.to_string(),
            gate: action.gate.to_string(),
            confidence: rounded(action.proposal.confidence),
            approval_id: action.approval.filter(|_| !args.dry_run),
            payload: action.proposal.params.as_json(),
        })
        .collect();
    output(case, args, &plan.judgement, actions, llm)
}

/// Builds the output from an earlier result, at no cost.
pub(super) fn of_former(
    case: &Case,
    args: &Args,
    judgement: &Judgement,
    actions: &[StoredAction],
) -> Output {
    let actions = actions
        .iter()
        .map(|action| ActionOutput {
            id: action.id,
            r#type: action.kind.clone(),
            risk: action.risk.to_string(),
            gate: action.gate.to_string(),
            confidence: rounded(action.confidence),
            approval_id: action.approval,
            payload: action.payload.clone(),
        })
        .collect();
    output(case, args, judgement, actions, LlmUsage::default())
}

fn output(
    case: &Case,
    args: &Args,
    judgement: &Judgement,
    actions: Vec<ActionOutput>,
    llm: LlmUsage,
) -> Output {
    Output {
        category: judgement.category.to_string(),
        disposition: judgement.disposition.to_string(),
        priority: judgement.priority.to_string(),
        sla: judgement.sla.to_string(),
        confidence: rounded(judgement.confidence),
        rationale: judgement.rationale.clone(),
        source: judgement.source.to_string(),
        rules_applied: judgement.rules_applied.clone(),
        actions,
        thread_status: judgement.thread_status.to_string(),
        degraded: judgement.degraded,
        injection_suspected: judgement.injection_suspected,
        dry_run: args.dry_run,
        llm,
        ruleset_version: args.ruleset_version,
        message: MessageSummary {
            id: case.message,
            from: case.mail.sender(),
            subject: case.mail.subject.clone(),
        },
    }
}
