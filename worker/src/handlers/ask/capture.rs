//! Keeps questions and answers, sealed, for tenants whose owner wants to read them: [`keep`], and [`keep_answer`] of a batch.

use super::ModelAccess;
use crate::recording::rendered;
use base::{JobId, TenantId, telemetry::chain};
use jobs::{
    commands::llm::captures::{open, seal},
    domain::llm::capture::{CapturedExchange, CapturedMessage},
    store::llm_captures::{self, NewCapture},
};
use llm::{Call, Completion};
use sqlx::PgConnection;
use uuid::Uuid;

/// The call that a question belongs to.
#[derive(Clone, Copy)]
pub(super) struct CapturedCall<'a> {
    pub(super) tenant: TenantId,
    pub(super) job: JobId,
    pub(super) step: &'a str,
    pub(super) call: Uuid,
}

/// Stores the question of a call and, if there is one yet, its answer or the class of its failure.
pub(super) async fn keep(
    conn: &mut PgConnection,
    access: &ModelAccess,
    of: CapturedCall<'_>,
    asked: &Call<'_>,
    ended: Option<Result<&Completion, &'static str>>,
) -> Result<(), sqlx::Error> {
    let Some(keys) = &access.keys else {
        return Ok(());
    };
    if !llm_captures::is_on(conn, of.tenant).await? {
        return Ok(());
    }
    let (messages, _) = rendered(&asked.prompt, &asked.schema);
    let messages = messages.into_iter().map(|message| CapturedMessage {
        role: message.role,
        content: message.content,
    });
    let mut exchange = CapturedExchange {
        messages: messages.collect(),
        answer: None,
        failure: None,
    };
    if let Some(ended) = ended {
        end(&mut exchange, ended);
    }
    put(conn, of, &seal(keys, of.tenant, of.call, &exchange)).await
}

/// Adds the answer of a batch to its question, if that was kept.
pub(super) async fn keep_answer(
    conn: &mut PgConnection,
    access: &ModelAccess,
    of: CapturedCall<'_>,
    ended: Result<&Completion, &'static str>,
) -> Result<(), sqlx::Error> {
    let Some(keys) = &access.keys else {
        return Ok(());
    };
    let Some(sealed) = llm_captures::find(conn, of.tenant, of.call).await? else {
        return Ok(());
    };
    match open(keys, of.tenant, of.call, &sealed) {
        Ok(mut exchange) => {
            end(&mut exchange, ended);
            put(conn, of, &seal(keys, of.tenant, of.call, &exchange)).await
        }
        // The answer counts all the same.
        Err(error) => {
            tracing::warn!(
                error = chain(&error),
                "the answer of a batch was not kept for people to read"
            );
            Ok(())
        }
    }
}

fn end(exchange: &mut CapturedExchange, ended: Result<&Completion, &'static str>) {
    match ended {
        Ok(completion) => exchange.answer = Some(completion.text.clone()),
        Err(class) => exchange.failure = Some(class.to_owned()),
    }
}

async fn put(
    conn: &mut PgConnection,
    of: CapturedCall<'_>,
    exchange: &jobs::secrets::Sealed,
) -> Result<(), sqlx::Error> {
    let CapturedCall {
        tenant,
        job,
        step,
        call,
    } = of;
    let new = NewCapture {
        tenant,
        call,
        job,
        step,
        exchange,
    };
    llm_captures::put(conn, &new).await
}
