//! `call_webhook`: calls a connected webhook about an email. The call is rendered once, and every attempt carries the same id,
//! so that the receiver can recognise repeats.

use super::{
    ActionContext, Lookup, PrepareError, Prepared, ProviderContext, Receipt, RemoteEffect,
};
use crate::{messages::load_parsed, providers::ProviderError};
use async_trait::async_trait;
use base::TenantId;
use chrono::SecondsFormat;
use jobs::{
    commands::connections::connect::end_gone,
    domain::{
        ConnectionId, MessageId,
        connection::{ConnectionStatus, Settings},
    },
    store::{
        connections::{self, StoredConnection},
        effects::StoredEffect,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

pub(super) struct CallWebhook;

/// The posted body and its id.
#[derive(Serialize, Deserialize)]
struct Call {
    id: String,
    body: String,
}

#[async_trait]
impl RemoteEffect for CallWebhook {
    async fn prepare(
        &self,
        providers: &ProviderContext<'_>,
        action: &ActionContext<'_>,
    ) -> Result<Prepared, PrepareError> {
        let connection = webhook(providers, action).await?;
        let message = match action.message {
            Some(id) => summary(&providers.ctx.pool, action.tenant, id).await?,
            None => Value::Null,
        };
        let id = format!("msg_{}", effect_uuid(&action.key).simple());
        let body = json!({
            "type": "action.call_webhook",
            "id": id,
            "timestamp": action.now.to_rfc3339_opts(SecondsFormat::Secs, true),
            "data": { "action": action.kind, "message": message },
        });
        let call = Call {
            id,
            body: body.to_string(),
        };
        let rendered = serde_json::to_vec(&call).map_err(|_| {
            PrepareError::refused(
                "unrenderable_call",
                "The webhook call could not be written.",
            )
        })?;
        Ok(Prepared {
            would: json!({ "post_to": connection.address, "message": message }),
            connection,
            message_id: None,
            rendered,
        })
    }

    async fn perform(
        &self,
        providers: &ProviderContext<'_>,
        connection: &StoredConnection,
        rendered: Vec<u8>,
    ) -> Result<Receipt, ProviderError> {
        let call: Call = serde_json::from_slice(&rendered).map_err(|_| {
            super::provider_context::internal_error("the stored call is unreadable")
        })?;
        let caller = providers.caller(connection).await?;
        let ctx = providers.ctx;
        let response = caller
            .call(&call.id, call.body.as_bytes(), ctx.clock.now())
            .await;
        if let Err(ProviderError::Permanent {
            code: code @ "webhook_gone",
            ..
        }) = response
        {
            end_gone(&ctx.pool, &ctx.job, connection, code)
                .await
                .map_err(|_| {
                    super::provider_context::internal_error(
                        "the end of the webhook could not be recorded",
                    )
                })?;
        }
        Ok(Receipt {
            receipt: response?,
            before_image: None,
        })
    }

    /// A repeated call is allowed by the webhook contract.
    async fn look_up(
        &self,
        _providers: &ProviderContext<'_>,
        _connection: &StoredConnection,
        _effect: &StoredEffect,
        _rendered: &[u8],
    ) -> Result<Lookup, ProviderError> {
        Ok(Lookup::NotDone)
    }
}

/// The key of an effect as a UUID.
pub(super) fn effect_uuid(key: &[u8; 32]) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, key)
}

/// Finds the webhook of this id, also another user's, because rules apply to the whole tenant.
async fn webhook(
    providers: &ProviderContext<'_>,
    action: &ActionContext<'_>,
) -> Result<StoredConnection, PrepareError> {
    let unknown = || {
        PrepareError::refused(
            "webhook_unknown",
            "No webhook of this id is connected. Connect it with POST /v1/connections, and give the id that is answered.",
        )
    };
    let id = action.params.get("connection").unwrap_or_default();
    let id: ConnectionId = id.parse().map_err(|_| unknown())?;
    let mut conn = providers.ctx.pool.acquire().await?;
    let found = connections::find(&mut conn, action.tenant, id).await?;
    found
        .filter(|found| {
            matches!(found.settings, Settings::Webhook(_))
                && found.status != ConnectionStatus::Revoked
        })
        .ok_or_else(unknown)
}

/// Identifies an email without its content.
async fn summary(pool: &PgPool, tenant: TenantId, id: MessageId) -> Result<Value, PrepareError> {
    let mail = load_parsed(pool, tenant, id).await?.mail;
    Ok(json!({
        "id": id,
        "message_id": mail.message_id,
        "from": mail.from.map(|from| from.addr),
        "subject": mail.subject,
        "date": mail.date,
    }))
}
