//! Forgetting a person: [`export_user`] first, then [`erase_user`].
//!
//! The tenant's own records stay, also those that the person wrote: tasks, projects, contacts and rules.

use super::manage::{ManageUserError, remove_user};
use crate::{
    commands::actor::TenantActor,
    domain::{AuditAction, Detail, ResourceKind, UserId},
    store::{audit, llm_answers, llm_captures, tenant_rows, tenants, user_rows, users},
};
use base::TenantId;
use futures::StreamExt as _;
use queue::signals::notifier::Notifier;
use sqlx::PgPool;

/// The person was not erased.
#[derive(Debug, thiserror::Error)]
pub enum EraseUserError {
    #[error("the tenant has no such user")]
    NotFound,
    #[error("could not remove the user first")]
    Remove(#[source] ManageUserError),
    /// They would write the person's words again. The user is removed, so that no new ones come.
    #[error(
        "{0} job(s) of the user wait or run; wait for their end or cancel them, then run it again"
    )]
    Working(i64),
    #[error(
        "could not delete the rows; a role that owns the tables may, the application's may not"
    )]
    Database(#[from] sqlx::Error),
}

impl EraseUserError {
    /// Whether the user is removed by now, so that only their id finds them.
    pub const fn is_removed(&self) -> bool {
        match self {
            Self::NotFound | Self::Remove(_) => false,
            Self::Working(_) | Self::Database(_) => true,
        }
    }
}

/// Removes a user, unless they were removed before, and deletes everything that is theirs: accounts with their secrets,
/// the emails of their mailbox with what was made of them, drafts, memory, blocks and sessions. Returns how many emails it
/// forgot. The audit log stays: it names them by an id, and holds nobody's words.
pub async fn erase_user(
    pool: &PgPool,
    notifier: &Notifier,
    actor: TenantActor<'_>,
    user: UserId,
) -> Result<i64, EraseUserError> {
    match remove_user(pool, notifier, actor, user).await {
        Ok(()) => {}
        Err(ManageUserError::NotFound) => {
            let mut conn = pool.acquire().await?;
            if !users::was_removed(&mut conn, actor.tenant(), user).await? {
                return Err(EraseUserError::NotFound);
            }
        }
        Err(error) => return Err(EraseUserError::Remove(error)),
    }
    let mut tx = pool.begin().await?;
    tenants::lock(&mut tx, actor.tenant()).await?;
    tenant_rows::take_time(&mut tx).await?;
    let unfinished = user_rows::unfinished_jobs(&mut tx, actor.tenant(), user).await?;
    if unfinished > 0 {
        return Err(EraseUserError::Working(unfinished));
    }
    let emails = user_rows::erase(&mut tx, actor.tenant(), user).await?;
    audit::client_ids::forget(&mut tx, actor.tenant(), user).await?;
    // Answers do not say whose emails they tell of, and are only a saving.
    llm_answers::delete_all(&mut tx, actor.tenant()).await?;
    // Nor do the questions, which are kept for days only.
    llm_captures::delete_all(&mut tx, actor.tenant()).await?;
    let entry = actor
        .audit(AuditAction::UserErased, ResourceKind::User, user)
        .with_detail(Detail::new().count("emails", emails));
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(emails)
}

/// Passes what [`erase_user`] would delete to `line`, each row as one line of JSON, from one snapshot, and returns how many
/// there were: none if the tenant never had the user. Secrets are left out, and what is of no use elsewhere.
///
/// # Errors
/// If the database does not answer, or `line` fails.
pub async fn export_user<E: From<sqlx::Error>>(
    pool: &PgPool,
    tenant: TenantId,
    user: UserId,
    mut line: impl FnMut(String) -> Result<(), E>,
) -> Result<u64, E> {
    let mut tx = pool.begin().await?;
    tenant_rows::read_one_snapshot(&mut tx).await?;
    let mut rows = user_rows::rows(&mut tx, tenant, user);
    let mut exported = 0;
    while let Some(row) = rows.next().await {
        let (table, row) = row?;
        line(tenant_rows::exported(&table, &row))?;
        exported += 1;
    }
    Ok(exported)
}
