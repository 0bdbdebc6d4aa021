//! Builds the job's output.

use super::load::Case;
use super::parse_reply::Reply;
use super::writes::NewVersion;
use jobs::{
    domain::draft::{OutgoingMessage, diff},
    kinds::{
        draft::{Args, DraftOutcome, NotNeeded, Output, Preview},
        triage::LlmUsage,
    },
};

fn empty(args: &Args, outcome: DraftOutcome) -> Output {
    Output {
        outcome,
        draft_id: None,
        version: None,
        approval_id: None,
        confidence: None,
        send_at: None,
        not_needed: None,
        open_questions: Vec::new(),
        assumptions: Vec::new(),
        diff: Vec::new(),
        memory_ids: Vec::new(),
        preview: None,
        dry_run: args.dry_run,
        llm: LlmUsage::default(),
    }
}

fn of_reply(args: &Args, outcome: DraftOutcome, reply: &Reply) -> Output {
    Output {
        confidence: Some(reply.confidence),
        open_questions: reply.open_questions.clone(),
        assumptions: reply.assumptions.clone(),
        ..empty(args, outcome)
    }
}

pub(super) fn of_not_needed(args: &Args, why: NotNeeded) -> Output {
    Output {
        not_needed: Some(why),
        ..empty(args, DraftOutcome::NotNeeded)
    }
}

pub(super) fn of_questions(args: &Args, reply: &Reply) -> Output {
    Output {
        draft_id: args.base.map(|base| base.draft_id),
        version: args.base.map(|base| base.version),
        ..of_reply(args, DraftOutcome::OpenQuestions, reply)
    }
}

pub(super) fn of_preview(args: &Args, reply: &Reply, outgoing: &OutgoingMessage) -> Output {
    Output {
        send_at: outgoing.send_at,
        memory_ids: reply.used_memory_ids.clone(),
        preview: Some(Preview {
            to: outgoing.to.clone(),
            cc: outgoing.cc.clone(),
            bcc: outgoing.bcc.clone(),
            subject: outgoing.subject.clone(),
            body_text: outgoing.body_text.clone(),
        }),
        ..of_reply(args, DraftOutcome::Drafted, reply)
    }
}

pub(super) fn of_version(args: &Args, reply: &Reply, case: &Case, version: &NewVersion) -> Output {
    let former = case.base.as_ref().map(|base| &base.version.message);
    Output {
        draft_id: Some(version.draft),
        version: Some(version.number),
        approval_id: version.approval_id(),
        send_at: version.message.send_at,
        memory_ids: version.making.memory_ids.clone(),
        diff: former.map_or_else(Vec::new, |former| {
            diff(&former.body_text, &version.message.body_text)
        }),
        ..of_reply(args, DraftOutcome::Drafted, reply)
    }
}
