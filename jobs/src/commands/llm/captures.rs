//! Questions to models and their answers, kept where a tenant's owner wants so: [`seal`] and [`open`] for their call, and
//! [`read_captures`].

use crate::{
    domain::{
        AuditAction, Detail, NewAuditEntry, ResourceKind, Session, llm::capture::CapturedExchange,
    },
    secrets::{KeyRing, Sealed, Unsealable},
    store::{
        audit,
        llm_captures::{self, place},
    },
};
use base::{JobId, TenantId};
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret as _;
use sqlx::PgPool;
use uuid::Uuid;

/// A call to a model with its question and answer.
pub struct Capture {
    pub call: Uuid,
    pub step: String,
    pub provider: String,
    pub model: String,
    pub exchange: CapturedExchange,
    pub created_at: DateTime<Utc>,
}

/// An exchange could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("could not open the exchange of call {call}")]
    Unsealable {
        call: Uuid,
        #[source]
        source: Unsealable,
    },
    #[error("the exchange of call {call} has an unknown form")]
    Malformed { call: Uuid },
}

/// Nothing was read.
#[derive(Debug, thiserror::Error)]
pub enum ReadCapturesError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("could not read the exchanges")]
    Database(#[from] sqlx::Error),
}

/// Seals an exchange for its call.
///
/// # Panics
/// Never: text becomes JSON.
pub fn seal(keys: &KeyRing, tenant: TenantId, call: Uuid, exchange: &CapturedExchange) -> Sealed {
    let text = serde_json::to_string(exchange).expect("text becomes JSON");
    keys.seal(place(tenant, call), &text.into())
}

/// Opens the exchange of a call.
///
/// # Errors
/// If it was not sealed for this call, or its key is missing.
pub fn open(
    keys: &KeyRing,
    tenant: TenantId,
    call: Uuid,
    sealed: &[u8],
) -> Result<CapturedExchange, OpenError> {
    let text = keys
        .open(place(tenant, call), sealed)
        .map_err(|source| OpenError::Unsealable { call, source })?;
    serde_json::from_str(text.expose_secret()).map_err(|_| OpenError::Malformed { call })
}

/// Opens the exchanges of a job, oldest first, with an audit entry.
///
/// # Errors
/// If one does not open, or the database refuses; then nobody has read anything.
pub async fn read_captures(
    pool: &PgPool,
    keys: &KeyRing,
    session: &Session,
    request_id: &str,
    job: JobId,
) -> Result<Vec<Capture>, ReadCapturesError> {
    let tenant = session.tenant;
    let mut tx = pool.begin().await?;
    let stored = llm_captures::of_job(&mut tx, tenant, job).await?;
    let mut opened = Vec::with_capacity(stored.len());
    for one in stored {
        opened.push(Capture {
            exchange: open(keys, tenant, one.call, &one.exchange)?,
            call: one.call,
            step: one.step,
            provider: one.provider,
            model: one.model,
            created_at: one.created_at,
        });
    }
    let exchanges = i64::try_from(opened.len()).unwrap_or(i64::MAX);
    let entry = NewAuditEntry::new(
        tenant,
        session.actor(),
        AuditAction::CapturesRead,
        ResourceKind::Job,
        job.0,
    )
    .with_request(Some(request_id))
    .with_client_request(session.client_request_id.as_deref())
    .with_detail(Detail::new().count("exchanges", exchanges));
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(opened)
}
