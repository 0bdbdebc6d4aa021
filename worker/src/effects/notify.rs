//! `notify`: adds an entry to the user's history.

use super::{ActionContext, LocalEffect, not_compensable};
use async_trait::async_trait;
use base::TenantId;
use jobs::domain::ResourceKind;
use jobs::domain::history::HistoryVerb;
use jobs::{
    commands::effects::local::{Done, Refusal},
    store::{
        effects::StoredEffect,
        history::{self, NewHistoryEntry},
    },
};
use serde_json::json;
use sqlx::PgConnection;

pub(super) struct Notify;

#[async_trait]
impl LocalEffect for Notify {
    async fn apply(
        &self,
        conn: &mut PgConnection,
        action: &ActionContext<'_>,
    ) -> Result<Done, Refusal> {
        let (object_kind, object) = match action.message {
            Some(message) => (ResourceKind::Message, message.0),
            None => (ResourceKind::Job, action.job.0),
        };
        let entry = NewHistoryEntry {
            verb: HistoryVerb::Notified,
            object_kind,
            object,
            job: Some(action.job),
            rationale: action.params.get("text").unwrap_or_default(),
        };
        history::insert(conn, action.tenant, &entry).await?;
        Ok(Done {
            receipt: json!({ "notified": object_kind }),
            before_image: None,
        })
    }

    async fn undo(
        &self,
        _conn: &mut PgConnection,
        _tenant: TenantId,
        _done: &StoredEffect,
    ) -> Result<(), Refusal> {
        Err(not_compensable())
    }
}
