//! `notify`: a line in the user's history.

use super::{Doing, LocalEffect, not_compensable};
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
    async fn apply(&self, conn: &mut PgConnection, doing: &Doing<'_>) -> Result<Done, Refusal> {
        let (object_kind, object) = match doing.message {
            Some(message) => (ResourceKind::Message, message.0),
            None => (ResourceKind::Job, doing.job.0),
        };
        let told = NewHistoryEntry {
            verb: HistoryVerb::Notified,
            object_kind,
            object,
            job: Some(doing.job),
            rationale: doing.params.get("text").unwrap_or_default(),
        };
        history::insert(conn, doing.tenant, &told).await?;
        Ok(Done {
            receipt: json!({ "notified": object_kind }),
            before_image: None,
        })
    }

    async fn revert(
        &self,
        _conn: &mut PgConnection,
        _tenant: TenantId,
        _done: &StoredEffect,
    ) -> Result<(), Refusal> {
        Err(not_compensable())
    }
}
