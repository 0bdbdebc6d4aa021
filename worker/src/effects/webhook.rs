//! `call_webhook`: tells a webhook of the user's that something is to be done about a mail. What is told is rendered once;
//! every try carries the same id, by which the receiver knows it again.

use super::{Doing, Far, Found, Prepared, Receipt, Remote, Trouble};
use crate::providers::ProviderError;
use async_trait::async_trait;
use base::TenantId;
use chrono::SecondsFormat;
use jobs::{
    commands::connections::connect::end_gone,
    domain::{
        MessageId,
        connection::{Settings, WebUrl},
        mail::Mail,
    },
    store::{
        connections::{self, StoredConnection},
        effects::StoredEffect,
        messages,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

pub(super) struct CallWebhook;

/// What is posted, with the name it goes by.
#[derive(Serialize, Deserialize)]
struct Call {
    id: String,
    body: String,
}

#[async_trait]
impl Remote for CallWebhook {
    async fn prepare(&self, far: &Far<'_>, doing: &Doing<'_>) -> Result<Prepared, Trouble> {
        let connection = webhook(far, doing).await?;
        let message = match doing.message {
            Some(id) => summary(&far.ctx.pool, doing.tenant, id).await?,
            None => Value::Null,
        };
        let id = format!("msg_{}", name(&doing.key).simple());
        let body = json!({
            "type": "action.call_webhook",
            "id": id,
            "timestamp": doing.now.to_rfc3339_opts(SecondsFormat::Secs, true),
            "data": { "action": doing.kind, "message": message },
        });
        let call = Call {
            id,
            body: body.to_string(),
        };
        let rendered = serde_json::to_vec(&call)
            .map_err(|_| Trouble::refused("unrenderable_call", "This call cannot be written."))?;
        Ok(Prepared {
            would: json!({ "post_to": connection.address, "message": message }),
            connection,
            message_id: None,
            rendered,
        })
    }

    async fn perform(
        &self,
        far: &Far<'_>,
        connection: &StoredConnection,
        rendered: Vec<u8>,
    ) -> Result<Receipt, ProviderError> {
        let call: Call = serde_json::from_slice(&rendered)
            .map_err(|_| super::far::unready("the stored call cannot be read"))?;
        let caller = far.caller(connection).await?;
        let ctx = far.ctx;
        let said = caller
            .call(&call.id, call.body.as_bytes(), ctx.clock.now())
            .await;
        if let Err(ProviderError::Permanent {
            code: code @ "webhook_gone",
            ..
        }) = said
        {
            end_gone(&ctx.pool, &ctx.job, connection, code)
                .await
                .map_err(|_| super::far::unready("the end of the webhook could not be written"))?;
        }
        Ok(Receipt {
            receipt: said?,
            before_image: None,
        })
    }

    /// It may be called again: that is the receiver's contract.
    async fn look(
        &self,
        _far: &Far<'_>,
        _connection: &StoredConnection,
        _effect: &StoredEffect,
        _rendered: &[u8],
    ) -> Result<Found, ProviderError> {
        Ok(Found::NotDone)
    }
}

/// The name of an effect as a UUID.
pub(super) fn name(key: &[u8; 32]) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, key)
}

/// The webhook of this URL: the user's own, or else a colleague's, for rules are written for all of a tenant.
async fn webhook(far: &Far<'_>, doing: &Doing<'_>) -> Result<StoredConnection, Trouble> {
    let unknown = || {
        Trouble::refused(
            "webhook_unknown",
            "No webhook of this URL is connected. Connect it with POST /v1/connections.",
        )
    };
    let text = doing.params.get("url").unwrap_or_default();
    let url: WebUrl = text.parse().map_err(|_| unknown())?;
    let mut conn = far.ctx.pool.acquire().await?;
    let found = connections::of_address(&mut conn, doing.tenant, &url.to_string()).await?;
    let mut found: Vec<_> = found
        .into_iter()
        .filter(|found| matches!(&found.settings, Settings::Webhook(web) if web.url == url))
        .collect();
    // Stable: the oldest of each stays in front.
    found.sort_by_key(|found| Some(found.user) != doing.user);
    found.into_iter().next().ok_or_else(unknown)
}

/// What tells the mail, without what is in it.
async fn summary(pool: &PgPool, tenant: TenantId, id: MessageId) -> Result<Value, Trouble> {
    let mut conn = pool.acquire().await?;
    let stored = messages::find(&mut conn, tenant, id).await?;
    drop(conn);
    let unreadable =
        || Trouble::refused("message_missing", "This mail is not kept, or not any more.");
    let stored = stored.ok_or_else(unreadable)?;
    // A mail may have many megabytes: parsing it would hold up every other job of this thread.
    let parsed =
        tokio::task::spawn_blocking(move || Mail::from_source(stored.format, &stored.source));
    let mail = parsed
        .await
        .ok()
        .and_then(Result::ok)
        .ok_or_else(unreadable)?;
    Ok(json!({
        "id": id,
        "message_id": mail.message_id,
        "from": mail.from.map(|from| from.addr),
        "subject": mail.subject,
        "date": mail.date,
    }))
}
