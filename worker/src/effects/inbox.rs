//! `defer` and `snooze`: an inbox item, deferred by an action and opened again by its undo.

use super::{
    ActionContext, LocalEffect,
    record::{id_and_version, moved_on, refusal, text_before, unreadable},
};
use crate::messages::parse;
use async_trait::async_trait;
use base::TenantId;
use chrono::{DateTime, Utc};
use jobs::{
    commands::{
        effects::local::{Done, Refusal},
        inbox,
        record::RecordError,
    },
    domain::{
        InboxItemId, MessageId,
        inbox::{ItemState, ItemStep, NewItem, Until},
    },
    store::{effects::StoredEffect, inbox_items, messages},
};
use serde_json::json;
use sqlx::PgConnection;

/// Defers an item that the user may see, or for a rule any of the tenant's. `made` says that this action added it.
async fn defer(
    conn: &mut PgConnection,
    action: &ActionContext<'_>,
    id: InboxItemId,
    until: &str,
    made: bool,
) -> Result<Done, Refusal> {
    let until = Until::parse(until).ok_or_else(|| {
        let message = "Use `tomorrow`, `next_week`, `monday 09:00` or a moment in RFC 3339.";
        Refusal::refused("bad_moment", message)
    })?;
    let (tenant, user) = (action.tenant, action.user);
    let moment = inbox::moment(conn, tenant, user, until, action.now)
        .await
        .map_err(refusal)?;
    let step = ItemStep::Defer(moment);
    let changed = inbox::advance(conn, tenant, user, id, None, step)
        .await
        .map_err(refusal)?;
    inbox::record_history(conn, tenant, &changed.after, step.verb(), Some(action.job)).await?;
    let before = changed.before.defer_until.map(|until| until.to_rfc3339());
    Ok(Done {
        receipt: json!({ "id": id, "version": changed.after.version, "until": moment }),
        before_image: Some(json!({
            "defer_until": before,
            "state": if made { "none" } else { changed.before.state.as_str() },
        })),
    })
}

async fn put_back(
    conn: &mut PgConnection,
    tenant: TenantId,
    done: &StoredEffect,
) -> Result<(), Refusal> {
    let (id, version) = id_and_version(done)?;
    let step = match (text_before(done, "state"), text_before(done, "defer_until")) {
        (Some("none"), _) => ItemStep::Dismiss,
        (_, None) => ItemStep::Reopen,
        (_, Some(until)) => {
            let until: DateTime<Utc> = until.parse().map_err(|_| unreadable())?;
            ItemStep::Defer(until)
        }
    };
    match inbox::advance(
        conn,
        tenant,
        None,
        InboxItemId(id),
        Some(&version.into()),
        step,
    )
    .await
    {
        // It came back by itself.
        Ok(_)
        | Err(RecordError::NotNow {
            state: ItemState::Open,
            ..
        }) => Ok(()),
        Err(error) => Err(moved_on(error)),
    }
}

pub(super) struct Defer;

#[async_trait]
impl LocalEffect for Defer {
    async fn apply(
        &self,
        conn: &mut PgConnection,
        action: &ActionContext<'_>,
    ) -> Result<Done, Refusal> {
        let param = |field| action.params.get(field);
        let until = match (param("bucket"), param("until")) {
            (Some(until), None) | (None, Some(until)) => until,
            _ => {
                let message = "Say until when, with either `bucket` or `until`.";
                return Err(Refusal::refused("bad_moment", message));
            }
        };
        let id = param("item_id").and_then(|id| id.parse().ok());
        let id = id.ok_or_else(|| refusal(RecordError::NotFound("inbox item")))?;
        defer(conn, action, id, until, false).await
    }

    async fn undo(
        &self,
        conn: &mut PgConnection,
        tenant: TenantId,
        done: &StoredEffect,
    ) -> Result<(), Refusal> {
        put_back(conn, tenant, done).await
    }
}

pub(super) struct Snooze;

#[async_trait]
impl LocalEffect for Snooze {
    /// Defers the message's inbox item, and adds one first if it has none.
    async fn apply(
        &self,
        conn: &mut PgConnection,
        action: &ActionContext<'_>,
    ) -> Result<Done, Refusal> {
        let message = action.message.ok_or_else(|| {
            Refusal::refused("message_required", "Give `message_id`: the email to defer.")
        })?;
        let until = action.params.get("until").unwrap_or_default();
        let found = inbox_items::of_message(conn, action.tenant, action.user, message).await?;
        match found {
            Some(id) => defer(conn, action, id, until, false).await,
            None => {
                let id = make(conn, action, message).await?;
                defer(conn, action, id, until, true).await
            }
        }
    }

    async fn undo(
        &self,
        conn: &mut PgConnection,
        tenant: TenantId,
        done: &StoredEffect,
    ) -> Result<(), Refusal> {
        put_back(conn, tenant, done).await
    }
}

async fn make(
    conn: &mut PgConnection,
    action: &ActionContext<'_>,
    message: MessageId,
) -> Result<InboxItemId, Refusal> {
    let loaded = parse(messages::find(conn, action.tenant, message).await?).await?;
    let item = NewItem::of_mail(&loaded.mail.subject, &loaded.content_hash, message);
    let new = NewItem {
        owner: action.user,
        rationale: "Deferred before triage put it into the inbox.".to_owned(),
        job: Some(action.job),
        ..item
    };
    inbox_items::insert(conn, action.tenant, &new)
        .await?
        .ok_or_else(|| {
            let message = "The inbox item of this email was dealt with. Reopen it to defer it.";
            Refusal::refused("not_now", message)
        })
}
