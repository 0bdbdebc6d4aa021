//! `digest_add`: adds an email to the next digest of its owner. `send_digest`: sends a digest to its user.

use super::{
    ActionContext, LocalEffect, PrepareError, Prepared, ProviderContext,
    mail::{Compose, Writer, prepare, sending_connection},
    record::unreadable,
};
use crate::messages::{owner_of, parse};
use async_trait::async_trait;
use base::TenantId;
use jobs::{
    commands::effects::local::{Done, Refusal},
    domain::{DigestEntryId, DigestId, draft::OutgoingMessage, inbox::title_of},
    store::{
        digests::{self, NewEntry},
        effects::StoredEffect,
        inbox_items, messages, preferences,
    },
};
use serde_json::json;
use sqlx::PgConnection;

pub(super) struct DigestAdd;

#[async_trait]
impl LocalEffect for DigestAdd {
    async fn apply(
        &self,
        conn: &mut PgConnection,
        action: &ActionContext<'_>,
    ) -> Result<Done, Refusal> {
        let message = action.message.ok_or_else(|| {
            Refusal::refused(
                "message_required",
                "Give `message_id`: the email for the digest.",
            )
        })?;
        let parsed = parse(messages::find(conn, action.tenant, message).await?).await?;
        let (mail, content_hash) = (parsed.mail, parsed.content_hash);
        // Of the user who asked, else of the email's.
        let user = match action.user {
            Some(user) => Some(user),
            None => owner_of(conn, action.tenant, &mail, &content_hash).await?,
        };
        let user = user.ok_or_else(|| {
            Refusal::refused(
                "nobody",
                "This email was sent to no user of yours, so no digest can have it.",
            )
        })?;
        let preferences = preferences::find(conn, action.tenant, user).await?;
        if preferences.digest_at.is_none() {
            return Err(Refusal::refused(
                "no_digest",
                "The user of this email gets no digest. Set `digest_at` in their preferences first.",
            ));
        }
        let title = title_of(&mail.subject);
        let entry = NewEntry {
            user,
            message,
            title: title.as_str(),
            note: action.params.get("note"),
        };
        let added = digests::insert_entry(conn, action.tenant, &entry).await?;
        // Null if the next digest has the email already; it stays there when this action is undone.
        Ok(Done {
            receipt: json!({ "id": added, "user_id": user }),
            before_image: None,
        })
    }

    async fn undo(
        &self,
        conn: &mut PgConnection,
        tenant: TenantId,
        done: &StoredEffect,
    ) -> Result<(), Refusal> {
        let receipt = done.receipt.as_ref().ok_or_else(unreadable)?;
        let Some(id) = receipt["id"].as_str() else {
            return Ok(());
        };
        let id: DigestEntryId = id.parse().map_err(|_| unreadable())?;
        match digests::delete_entry(conn, tenant, id).await? {
            true => Ok(()),
            false => Err(Refusal::refused(
                "moved_on",
                "The digest with this email was built already; nothing was undone.",
            )),
        }
    }
}

pub(super) struct SendDigest;

#[async_trait]
impl Compose for SendDigest {
    /// From the user's oldest mail account to itself, so that nobody else can get it.
    async fn prepare(
        &self,
        providers: &ProviderContext<'_>,
        action: &ActionContext<'_>,
    ) -> Result<Prepared, PrepareError> {
        let missing =
            || PrepareError::refused("digest_missing", "This digest is no longer stored.");
        let id = action.params.get("digest_id").unwrap_or_default();
        let id: DigestId = id.parse().map_err(|_| missing())?;
        let user = action.user.ok_or_else(missing)?;
        let mut conn = providers.ctx.pool.acquire().await?;
        let item = digests::item(&mut conn, action.tenant, user, id).await?;
        let item = match item {
            Some(item) => inbox_items::find(&mut conn, action.tenant, Some(user), item).await?,
            None => None,
        };
        drop(conn);
        let item = item.ok_or_else(missing)?;
        let connection = sending_connection(providers.ctx, action, None).await?;
        let outgoing = OutgoingMessage {
            to: vec![connection.address.clone()],
            subject: item.title,
            body_text: item.rationale,
            ..OutgoingMessage::default()
        };
        let now = providers.ctx.clock.now();
        prepare(action, connection, &outgoing, Writer::Program, now)
    }
}
