//! `save_draft`, and `reply` without a text: enqueues a job that writes a draft, which a user then approves. Sends nothing.

use super::{ActionContext, LocalEffect, not_compensable};
use async_trait::async_trait;
use base::{TenantId, hex};
use jobs::{
    commands::effects::local::{Done, Refusal},
    kinds::draft::{Args, DraftGenerate, reply_name},
    store::effects::StoredEffect,
};
use queue::{EnqueueError, Enqueued, ExternalId, NewJob, enqueue::enqueue};
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

pub(super) struct DraftEffect;

#[async_trait]
impl LocalEffect for DraftEffect {
    async fn apply(
        &self,
        conn: &mut PgConnection,
        action: &ActionContext<'_>,
    ) -> Result<Done, Refusal> {
        let message = action.message.ok_or_else(|| {
            Refusal::refused(
                "message_required",
                "Give `message_id`: the email to answer.",
            )
        })?;
        let instructions = action.params.get("instructions").map(str::to_owned);
        // Triage uses the same external id, so that one email gets one reply.
        let name = match (&instructions, action.user) {
            (Some(_), Some(_)) => format!("{}:draft", hex(&action.key)),
            _ => reply_name(message),
        };
        let args = match action.user {
            // A user requested or approved these instructions.
            Some(user) => Args {
                instructions,
                user: Some(user),
                ..Args::reply(message)
            },
            // Text of a rule or a model may contain text of an email.
            None => Args {
                suggestion: instructions,
                ..Args::reply(message)
            },
        };
        let args = Args {
            api_key: action.api_key,
            ..args
        };
        let new = NewJob::of::<DraftGenerate>(action.tenant, &args)
            .map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
        let new = NewJob {
            external: Some(ExternalId {
                fingerprint: Sha256::digest(&name).into(),
                id: name,
            }),
            request_id: action.request_id.map(str::to_owned),
            traceparent: action.traceparent.map(str::to_owned),
            ..new
        };
        let job = match enqueue(conn, &new).await {
            // A caller's draft may have our name: the email has a draft all the same.
            Ok(
                Enqueued::Inserted(job) | Enqueued::Replacing { job, .. } | Enqueued::Existing(job),
            )
            | Err(EnqueueError::KeyReused { existing: job }) => job,
            Err(error) => return Err(sqlx::Error::from(error).into()),
        };
        Ok(Done {
            receipt: json!({ "job_id": job }),
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
