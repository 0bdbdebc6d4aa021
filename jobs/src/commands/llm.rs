//! Requests to a model whose worker died, budgets, and what was asked where it is kept.

pub mod batches;
pub mod captures;
pub mod turns;

use crate::domain::{
    AuditAction, Detail, NewAuditEntry, ResourceKind, Session,
    inbox::{ItemSource, NewItem},
    judgement::Priority,
    name::{Name, TITLE_CHARS},
};
use crate::store::{
    api_keys, audit, inbox_items,
    llm_budgets::{self, EVERY_KIND, NewBudget, StoredBudget},
    llm_calls::{self, SettledCall},
    tenants,
};
use base::TenantId;
use sqlx::{PgConnection, PgPool};

/// Requests whose worker died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostRequests {
    pub requests: u64,
    /// The most that they can cost, in millionths of a US dollar.
    pub micros: i64,
}

/// Completes up to `limit` requests whose attempt no longer runs, as possibly billed, and replaces what they had reserved.
///
/// # Errors
/// If the database refuses; then none was completed.
pub async fn lose_llm_calls(pool: &PgPool, limit: u32) -> Result<LostRequests, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let lost = llm_calls::mark_lost(&mut tx, i64::from(limit)).await?;
    settle_budgets(&mut tx, &lost).await?;
    tx.commit().await?;
    if !lost.is_empty() {
        tracing::warn!(
            requests = lost.len(),
            "requests to a model were in flight when their workers died; they count as possibly billed"
        );
    }
    Ok(LostRequests {
        requests: u64::try_from(lost.len()).unwrap_or(u64::MAX),
        micros: lost.iter().filter_map(|call| call.used.micros).sum(),
    })
}

/// Settles the budgets of many requests.
async fn settle_budgets(conn: &mut PgConnection, calls: &[SettledCall]) -> Result<(), sqlx::Error> {
    let tenants: Vec<TenantId> = calls.iter().map(|call| call.tenant).collect();
    llm_budgets::lock_all(conn, &tenants).await?;
    for call in calls {
        llm_budgets::settle(conn, call.spender(), call.reserved, call.used).await?;
    }
    Ok(())
}

/// Adds an inbox item for each budget of which four fifths are spent, once in its period, and returns their number.
///
/// # Errors
/// If the database refuses; then none was added.
pub async fn warn_of_budgets(pool: &PgPool, limit: u32) -> Result<u64, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let found = llm_budgets::nearly_spent(&mut tx, i64::from(limit)).await?;
    for budget in &found {
        let (kind, period) = (&budget.kind, &budget.period);
        let title = format!("Four fifths of the {period}'s budget for language models are spent");
        let title = Name::parse(&title, TITLE_CHARS).map_err(|_| {
            sqlx::Error::Protocol("the title of a budget's inbox item is invalid".into())
        })?;
        let mut scope = if kind == EVERY_KIND {
            "all jobs".to_owned()
        } else {
            format!("jobs of kind {kind}")
        };
        if let Some(name) = &budget.key_name {
            scope.push_str(&format!(" that the API key {name} submits"));
        }
        let mut dedupe_key = format!("budget:{kind}:{period}:{}", budget.period_start);
        if let Some(key) = budget.api_key {
            dedupe_key.push_str(&format!(":{key}"));
        }
        let item = NewItem {
            owner: None,
            source: ItemSource::Manual,
            dedupe_key,
            title,
            rationale: format!(
                "The budget covers {scope}. When it is used up, they wait until the next {period}. An administrator can raise it."
            ),
            priority: Priority::High,
            message: None,
            job: None,
        };
        inbox_items::insert(&mut tx, budget.tenant, &item).await?;
    }
    tx.commit().await?;
    Ok(u64::try_from(found.len()).unwrap_or(u64::MAX))
}

/// The budgets were not replaced.
#[derive(Debug, thiserror::Error)]
pub enum PutBudgetsError {
    /// The budget at this place names a key that the tenant does not have.
    #[error("budget {0} names no API key of the tenant")]
    NoKey(usize),
    #[error("could not replace the budgets")]
    Database(#[from] sqlx::Error),
}

/// Replaces the tenant's budgets, with an audit entry, and returns them.
///
/// # Errors
/// If a key does not exist or the database refuses; then nothing was changed.
pub async fn put_budgets(
    pool: &PgPool,
    session: &Session,
    budgets: &[NewBudget],
    request_id: &str,
) -> Result<Vec<StoredBudget>, PutBudgetsError> {
    let tenant = session.tenant;
    let mut tx = pool.begin().await?;
    // Of two at once, one replaces what the other wrote.
    tenants::lock(&mut tx, tenant).await?;
    let keys = api_keys::ids(&mut tx, tenant).await?;
    let unknown = budgets
        .iter()
        .position(|budget| budget.api_key.is_some_and(|key| !keys.contains(&key)));
    if let Some(place) = unknown {
        return Err(PutBudgetsError::NoKey(place));
    }
    llm_budgets::lock_all(&mut tx, &[tenant]).await?;
    llm_budgets::delete_others(&mut tx, tenant, budgets).await?;
    for budget in budgets {
        llm_budgets::set(&mut tx, tenant, budget).await?;
    }
    let entry = NewAuditEntry::new(
        tenant,
        session.actor(),
        AuditAction::SettingsChanged,
        ResourceKind::Tenant,
        tenant,
    )
    .with_request(Some(request_id))
    .with_client_request(session.client_request_id.as_deref())
    .with_detail(Detail::new().count("budgets", i64::try_from(budgets.len()).unwrap_or(i64::MAX)));
    audit::insert(&mut tx, &[entry]).await?;
    let stored = llm_budgets::list(&mut tx, tenant).await?;
    tx.commit().await?;
    Ok(stored)
}
