//! The queue's tables and functions, for programs without migrations of their own.

use sqlx::PgPool;

/// What later migrations add to the tables of the first. Idempotent.
const ADDITIONS: &str =
    "alter table maintenance_duties add column if not exists caught_up_at timestamptz;
     alter table jobs add column if not exists client_request_id text;
     alter table finished_jobs add column if not exists client_request_id text;";

/// The SQL of the queue's tables and indexes, to be run once per database.
///
/// A program with migrations takes this file as the first of them instead of calling [`create`]; the second adds
/// `caught_up_at timestamptz` to `maintenance_duties` and `client_request_id text` to `jobs` and `finished_jobs`, the next
/// three are [`CLAIMS`], [`SETTLES`] and [`CLAIMS_OF_MANY_TENANTS`].
pub const SQL: &str = include_str!("../../../migrations/0001_queue.sql");

/// The SQL of the functions with which workers claim jobs, to be run once per database, after [`SQL`].
pub const CLAIMS: &str = include_str!("../../../migrations/0013_claims.sql");

/// The SQL of the function with which workers settle successes, to be run once per database, after all columns were added.
pub const SETTLES: &str = include_str!("../../../migrations/0023_settles.sql");

/// The SQL of a claim that goes on behind tenants with nothing to take, in place of that in [`CLAIMS`]. Idempotent.
pub const CLAIMS_OF_MANY_TENANTS: &str =
    include_str!("../../../migrations/0032_claims_of_many_tenants.sql");

/// An advisory lock of our own: "queueddl" in a byte each.
const LOCK: i64 = i64::from_be_bytes(*b"queueddl");

/// Creates the queue's tables and functions unless they exist. Safe to call from several processes at once.
///
/// # Errors
/// If the database fails, or some other table of these names is in the way.
pub async fn create(pool: &PgPool) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    sqlx::query!("select pg_advisory_xact_lock($1)", LOCK)
        .execute(&mut *transaction)
        .await?;
    let found = sqlx::query!(
        r#"select to_regclass('jobs') is not null as "exists!",
                  exists (select from pg_attribute
                          where attrelid = to_regclass('finished_jobs') and attname = 'client_request_id') as "is_current!",
                  to_regproc('start_jobs') is not null as "claims!", to_regproc('settle_succeeded') is not null as "settles!",
                  exists (select from pg_proc where oid = to_regproc('claim_jobs') and prosrc like '%window_end%')
                      as "claims_of_many_tenants!""#
    )
    .fetch_one(&mut *transaction)
    .await?;
    if !found.exists {
        sqlx::raw_sql(SQL).execute(&mut *transaction).await?;
    }
    if !found.is_current {
        sqlx::raw_sql(ADDITIONS).execute(&mut *transaction).await?;
    }
    if !found.claims {
        sqlx::raw_sql(CLAIMS).execute(&mut *transaction).await?;
    }
    if !found.settles {
        sqlx::raw_sql(SETTLES).execute(&mut *transaction).await?;
    }
    if !found.claims_of_many_tenants {
        sqlx::raw_sql(CLAIMS_OF_MANY_TENANTS)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}
