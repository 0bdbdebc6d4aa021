//! `save_draft`, and `reply` without a text: a job writes the draft, and a person decides on that. Nothing is sent here.

use super::{Doing, LocalEffect, not_compensable};
use async_trait::async_trait;
use base::TenantId;
use jobs::{
    commands::effects::local::{Done, Refusal},
    domain::draft::hex,
    kinds::draft::{Args, DraftGenerate, reply_name},
    store::effects::StoredEffect,
};
use queue::{EnqueueError, Enqueued, ExternalId, NewJob, enqueue::enqueue};
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

pub(super) struct HaveWritten;

#[async_trait]
impl LocalEffect for HaveWritten {
    async fn apply(&self, conn: &mut PgConnection, doing: &Doing<'_>) -> Result<Done, Refusal> {
        let message = doing.message.ok_or_else(|| {
            Refusal::refused(
                "no_message",
                "Say which mail is to be answered (`message_id`).",
            )
        })?;
        let said = doing.params.get("instructions").map(str::to_owned);
        // One answer is enough: this is the job that a triage asks for too.
        let name = match (&said, doing.user) {
            (Some(_), Some(_)) => format!("{}:draft", hex(&doing.key)),
            _ => reply_name(message),
        };
        let args = match doing.user {
            // Behind it stands a person who has seen the words.
            Some(user) => Args {
                instructions: said,
                user: Some(user),
                ..Args::reply(message)
            },
            // A rule's or a model's words may hold a mail's.
            None => Args {
                suggestion: said,
                ..Args::reply(message)
            },
        };
        let new = NewJob::of::<DraftGenerate>(doing.tenant, &args)
            .map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
        let new = NewJob {
            external: Some(ExternalId {
                fingerprint: Sha256::digest(&name).into(),
                id: name,
            }),
            request_id: doing.request_id.map(str::to_owned),
            traceparent: doing.traceparent.map(str::to_owned),
            ..new
        };
        let job = match enqueue(conn, &new).await {
            Ok(
                Enqueued::Inserted(job) | Enqueued::Replacing { job, .. } | Enqueued::Existing(job),
            ) => job,
            Err(EnqueueError::Database(error)) => return Err(error.into()),
            Err(error) => return Err(sqlx::Error::Protocol(error.to_string()).into()),
        };
        Ok(Done {
            receipt: json!({ "job_id": job }),
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
