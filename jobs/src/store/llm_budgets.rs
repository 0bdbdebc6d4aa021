//! `llm_budgets`: what a tenant, or one of its API keys, may use of models in a day or a month. Reserving locks the budget's row, so that requests at
//! the same time cannot use the same remainder.

use super::llm_calls::{Amount, Spender};
use crate::domain::{ApiKeyId, llm::BudgetPeriod};
use base::TenantId;
use chrono::{DateTime, NaiveDate, Utc};
use sqlx::{PgConnection, PgPool};

/// The scope of a budget that covers all kinds of jobs.
pub const EVERY_KIND: &str = "*";

/// A budget with what was used of it in the current period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBudget {
    /// None covers the jobs of all people and keys.
    pub api_key: Option<ApiKeyId>,
    pub kind: String,
    pub period: BudgetPeriod,
    pub max_tokens: Option<i64>,
    pub max_micros: Option<i64>,
    pub spent: Amount,
    pub reserved: Amount,
}

/// A budget to set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBudget {
    /// None covers the jobs of all people and keys.
    pub api_key: Option<ApiKeyId>,
    pub kind: String,
    pub period: BudgetPeriod,
    pub max_tokens: Option<i64>,
    pub max_micros: Option<i64>,
}

/// Whether all budgets cover a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reservation {
    Covered,
    /// The first budget that does not cover it ends then.
    Exceeded {
        until: DateTime<Utc>,
    },
    /// A budget in money applies, and the request has no price.
    PriceUnknown {
        until: DateTime<Utc>,
    },
}

/// Locks all budgets of the tenants until the transaction ends, in the order in which [`reserve`] and [`settle`] lock some. A
/// transaction that changes budgets with several statements begins with it.
pub async fn lock_all(conn: &mut PgConnection, tenants: &[TenantId]) -> Result<(), sqlx::Error> {
    let tenants: Vec<uuid::Uuid> = tenants.iter().map(|tenant| tenant.0).collect();
    sqlx::query!(
        "select from llm_budgets where tenant_id = any ($1) order by tenant_id, api_key_id, kind, period for update",
        &tenants,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Reserves the amount in every budget that covers the job, or in none of them.
pub async fn reserve(
    conn: &mut PgConnection,
    spender: Spender<'_>,
    amount: Amount,
) -> Result<Reservation, sqlx::Error> {
    // The lock comes first: `update` then reads the versions of the rows that were locked.
    let row = sqlx::query!(
        r#"
        with applying as (
            select kind, period, max_tokens, max_micros, reserved_tokens, reserved_micros,
                case when period_start = start then spent_tokens else 0 end as spent_tokens,
                case when period_start = start then spent_micros else 0 end as spent_micros,
                (start + ('1 ' || period)::interval) at time zone 'UTC' as ends
            from llm_budgets, lateral (select date_trunc(period, now() at time zone 'UTC')::date as start) current
            where tenant_id = $1 and kind in ('*', $2) and (api_key_id is null or api_key_id = $5)
            order by api_key_id, kind, period
            for update of llm_budgets
        ), verdict as (
            select min(ends) filter (where max_micros is not null and $4::bigint is null) as unpriced_until,
                max(ends) filter (where spent_tokens + reserved_tokens + $3 > max_tokens
                    or spent_micros + reserved_micros + $4 > max_micros) as exceeded_until
            from applying
        ), reserved as (
            update llm_budgets
            set reserved_tokens = llm_budgets.reserved_tokens + $3,
                reserved_micros = llm_budgets.reserved_micros + coalesce($4, 0)
            from verdict
            where tenant_id = $1 and kind in ('*', $2) and (api_key_id is null or api_key_id = $5)
              and unpriced_until is null and exceeded_until is null
        )
        select unpriced_until, exceeded_until from verdict
        "#,
        spender.tenant.0,
        spender.kind,
        amount.tokens,
        amount.micros,
        spender.api_key.map(|key| key.0),
    )
    .fetch_one(conn)
    .await?;
    Ok(match (row.unpriced_until, row.exceeded_until) {
        (Some(until), _) => Reservation::PriceUnknown { until },
        (None, Some(until)) => Reservation::Exceeded { until },
        (None, None) => Reservation::Covered,
    })
}

/// Replaces a reservation by what was used.
pub async fn settle(
    conn: &mut PgConnection,
    spender: Spender<'_>,
    reserved: Amount,
    used: Amount,
) -> Result<(), sqlx::Error> {
    // A budget that was set after the request had been reserved holds nothing of it: hence `greatest`.
    sqlx::query!(
        r#"
        with applying as (
            select tenant_id, api_key_id, kind, period, date_trunc(period, now() at time zone 'UTC')::date as start
            from llm_budgets
            where tenant_id = $1 and kind in ('*', $2) and (api_key_id is null or api_key_id = $7)
            order by api_key_id, kind, period
            for update
        )
        update llm_budgets
        set reserved_tokens = greatest(reserved_tokens - $3, 0),
            reserved_micros = greatest(reserved_micros - $4, 0),
            spent_tokens = case when period_start = start then spent_tokens else 0 end + $5,
            spent_micros = case when period_start = start then spent_micros else 0 end + $6,
            period_start = start
        from applying
        where llm_budgets.tenant_id = applying.tenant_id and llm_budgets.kind = applying.kind
          and llm_budgets.period = applying.period
          and llm_budgets.api_key_id is not distinct from applying.api_key_id
        "#,
        spender.tenant.0,
        spender.kind,
        reserved.tokens,
        reserved.micros.unwrap_or(0),
        used.tokens,
        used.micros.unwrap_or(0),
        spender.api_key.map(|key| key.0),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Lists a tenant's budgets with what was used of them in the current period.
pub async fn list(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<Vec<StoredBudget>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        select api_key_id as "api_key: ApiKeyId", kind, period as "period: BudgetPeriod", max_tokens, max_micros,
            reserved_tokens, reserved_micros,
            case when period_start = start then spent_tokens else 0 end as "spent_tokens!",
            case when period_start = start then spent_micros else 0 end as "spent_micros!"
        from llm_budgets, lateral (select date_trunc(period, now() at time zone 'UTC')::date as start) current
        where tenant_id = $1
        order by api_key_id nulls first, kind, period
        "#,
        tenant.0,
    )
    .fetch_all(conn)
    .await?;
    let budgets = rows.into_iter().map(|row| StoredBudget {
        api_key: row.api_key,
        kind: row.kind,
        period: row.period,
        max_tokens: row.max_tokens,
        max_micros: row.max_micros,
        spent: Amount {
            tokens: row.spent_tokens,
            micros: Some(row.spent_micros),
        },
        reserved: Amount {
            tokens: row.reserved_tokens,
            micros: Some(row.reserved_micros),
        },
    });
    Ok(budgets.collect())
}

/// Deletes a tenant's budgets other than these.
pub async fn delete_others(
    conn: &mut PgConnection,
    tenant: TenantId,
    kept: &[NewBudget],
) -> Result<(), sqlx::Error> {
    let keys: Vec<Option<uuid::Uuid>> = kept
        .iter()
        .map(|budget| budget.api_key.map(|key| key.0))
        .collect();
    let kinds: Vec<String> = kept.iter().map(|budget| budget.kind.clone()).collect();
    let periods: Vec<String> = kept
        .iter()
        .map(|budget| budget.period.as_str().to_owned())
        .collect();
    sqlx::query!(
        "delete from llm_budgets budget
         where tenant_id = $1 and not exists (
             select from unnest($2::text[], $3::text[], $4::uuid[]) as kept (kind, period, api_key_id)
             where kept.kind = budget.kind and kept.period = budget.period
               and kept.api_key_id is not distinct from budget.api_key_id)",
        tenant.0,
        &kinds,
        &periods,
        &keys as &[Option<uuid::Uuid>],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A budget of which most is spent.
#[derive(Clone, Debug)]
pub struct NearlySpent {
    pub tenant: TenantId,
    pub api_key: Option<ApiKeyId>,
    /// The name of the key.
    pub key_name: Option<String>,
    pub kind: String,
    pub period: String,
    pub period_start: NaiveDate,
}

/// Lists the budgets of which four fifths are spent, and of whose period no inbox item tells yet.
pub async fn nearly_spent(
    conn: &mut PgConnection,
    limit: i64,
) -> Result<Vec<NearlySpent>, sqlx::Error> {
    sqlx::query_as!(
        NearlySpent,
        r#"
        select budget.tenant_id as "tenant: TenantId", api_key_id as "api_key: ApiKeyId", key.name as "key_name?", kind,
            period, period_start
        from llm_budgets budget
        left join api_keys key on key.tenant_id = budget.tenant_id and key.id = budget.api_key_id
        where period_start = date_trunc(period, now() at time zone 'UTC')::date
          and (spent_tokens >= max_tokens * 0.8 or spent_micros >= max_micros * 0.8)
          and not exists (
              select from inbox_items item
              where item.tenant_id = budget.tenant_id and item.owner_id is null and item.source = 'manual'
                and item.dedupe_key = concat_ws(':', 'budget', kind, period, period_start, api_key_id))
        order by budget.tenant_id, api_key_id, kind, period
        limit $1
        "#,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Sets a budget. A new one begins with what was used in its current period so far.
pub async fn set(
    conn: &mut PgConnection,
    tenant: TenantId,
    budget: &NewBudget,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        insert into llm_budgets (
            tenant_id, kind, period, max_tokens, max_micros, period_start, spent_tokens, spent_micros, reserved_tokens,
            reserved_micros, api_key_id)
        select $1, $2, $3, $4, $5, start::date,
            coalesce(sum(case billing when 'settled' then input_tokens + output_tokens
                when 'possibly_billed' then call.reserved_tokens end) filter (where created_at >= start at time zone 'UTC'), 0),
            coalesce(sum(cost_micros) filter (where created_at >= start at time zone 'UTC'), 0),
            coalesce(sum(call.reserved_tokens) filter (where billing = 'reserved'), 0),
            coalesce(sum(call.reserved_micros) filter (where billing = 'reserved'), 0), $6
        from (select date_trunc($3, now() at time zone 'UTC') as start) current
        left join llm_calls call on call.tenant_id = $1 and ($2 = '*' or call.kind = $2)
            and ($6::uuid is null or call.api_key_id = $6)
            and (created_at >= start at time zone 'UTC' or billing = 'reserved')
        group by start
        on conflict (tenant_id, api_key_id, kind, period)
        do update set max_tokens = excluded.max_tokens, max_micros = excluded.max_micros
        "#,
        tenant.0,
        budget.kind,
        budget.period.as_str(),
        budget.max_tokens,
        budget.max_micros,
        budget.api_key.map(|key| key.0),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Returns the largest part that any tenant has used of a budget, by period.
pub async fn most_used(pool: &PgPool) -> Result<Vec<(String, f64)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select period, max(greatest(
               (spent_tokens + reserved_tokens)::float8 / nullif(max_tokens, 0),
               (spent_micros + reserved_micros)::float8 / nullif(max_micros, 0))) as ratio
           from llm_budgets
           where period_start = date_trunc(period, now() at time zone 'UTC')::date
           group by period"#
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.period, row.ratio.unwrap_or(0.0)))
        .collect())
}
