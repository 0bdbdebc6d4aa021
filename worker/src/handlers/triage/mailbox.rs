//! Loads whose mailbox the email arrived in and what its owner has said before: [`load`]. Needed for the model only.

use crate::handlers::{corrections::Examples, draft::memory, unavailable};
use crate::prompts::mailbox::Owner;
use base::TenantId;
use chrono::{DateTime, Utc};
use jobs::{
    domain::{UserId, corrections::CorrectionKind, mail::Mail, memory::MemoryScope, risk::Risk},
    store::{
        connections,
        memory_items::{self, Recalled},
        users,
    },
};
use queue::Failure;
use sqlx::PgPool;

/// The mailbox, as its prompt shows it.
#[derive(Default)]
pub(super) struct Mailbox {
    pub(super) owner: Owner,
    /// Redacted: what the email will lead to is not known yet, so the highest risk is assumed.
    pub(super) memories: Vec<Recalled>,
    /// Judgements that the owner corrected.
    pub(super) examples: Examples,
}

/// Loads the facts; without an owner there are none.
pub(super) async fn load(
    pool: &PgPool,
    tenant: TenantId,
    owner: Option<UserId>,
    mail: &Mail,
    asked_on: DateTime<Utc>,
) -> Result<Mailbox, Failure> {
    let Some(user) = owner else {
        return Ok(Mailbox::default());
    };
    read(pool, tenant, user, mail, asked_on)
        .await
        .map_err(|error| unavailable(&error))
}

async fn read(
    pool: &PgPool,
    tenant: TenantId,
    user: UserId,
    mail: &Mail,
    asked_on: DateTime<Utc>,
) -> Result<Mailbox, sqlx::Error> {
    let mut conn = pool.acquire().await?;
    let Some(person) = users::correspondent(&mut conn, tenant, user).await? else {
        return Ok(Mailbox::default());
    };
    let accounts = connections::mail_addresses(&mut conn, tenant, user).await?;
    let sender = mail.from.as_ref().map(|from| from.addr.as_str());
    let scopes: Vec<MemoryScope> = sender
        .into_iter()
        .flat_map(MemoryScope::of_sender)
        .collect();
    let recalled = memory_items::for_prompt(&mut conn, tenant, user, &scopes).await?;
    let kinds = &CorrectionKind::OF_TRIAGE;
    let examples = Examples::load(&mut conn, (tenant, user), kinds, Some(mail), asked_on).await?;
    Ok(Mailbox {
        examples,
        owner: Owner::new(&person.email, &accounts, person.timezone),
        memories: memory::redacted(recalled, Risk::High),
    })
}
