//! Drafts as `draft.generate` leaves them.

use crate::support::TestDb;
use base::{JobId, TenantId, clock::Clock};
use jobs::{
    domain::{
        DraftId, UserId,
        draft::{
            Confidence, DraftMode, Origin, OutgoingMessage,
            approval::{Proposed, approval_of},
        },
        risk::Risk,
    },
    store::{
        approvals,
        draft_versions::{self, Making},
        drafts::{self, NewDraft},
    },
};

/// A message with this text.
pub(crate) fn outgoing(text: &str) -> OutgoingMessage {
    OutgoingMessage {
        from: Some("owner@acme.example".into()),
        to: vec!["ada@x.example".into()],
        cc: vec!["bob@x.example".into()],
        subject: "Re: Plan".into(),
        in_reply_to: Some("<1@x.example>".into()),
        references: vec!["<0@x.example>".into(), "<1@x.example>".into()],
        body_text: text.into(),
        ..OutgoingMessage::default()
    }
}

pub(crate) fn making(origin: Origin) -> Making {
    Making {
        origin,
        instructions: None,
        tone: None,
        confidence: Confidence::High,
        language: Some("en".into()),
        assumptions: Vec::new(),
        open_questions: Vec::new(),
        memory_ids: Vec::new(),
        model: Some("script-1".into()),
        prompt_version: Some("draft.v3".into()),
        job: JobId::new(),
    }
}

/// A draft in its first version, with its approval.
pub(crate) async fn draft(
    db: &TestDb,
    tenant: TenantId,
    user: Option<UserId>,
    text: &str,
) -> DraftId {
    let outgoing = outgoing(text);
    let id = DraftId::new();
    let proposed = Proposed {
        draft: id,
        version: 1,
        content_hash: outgoing.content_hash(),
        subject: &outgoing.subject,
        send_at: None,
        recipients: &outgoing.to,
        notice: None,
        message: None,
        risk: Risk::High,
        confidence: 0.9,
    };
    let approval = approval_of(&proposed, Clock::System.now());
    let mut tx = db.pool().begin().await.unwrap();
    let making = making(Origin::Llm);
    approvals::insert(&mut tx, tenant, making.job, &approval)
        .await
        .unwrap();
    let new = NewDraft {
        id,
        mode: DraftMode::Reply,
        message: None,
        user,
        approval: approval.id,
        original_sent_at: None,
        follow_up_days: None,
    };
    drafts::insert(&mut tx, tenant, &new).await.unwrap();
    draft_versions::insert(&mut tx, tenant, (id, 1), &outgoing, &making)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    id
}
