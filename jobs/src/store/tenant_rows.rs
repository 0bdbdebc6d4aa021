//! All rows of a tenant, in whatever table: listed for an export and deleted by an erasure.
//!
//! The tables come from Postgres' catalog, so that no new one is forgotten. With [`super::grants`] the only statements that
//! are built at run time: the name of a table cannot be a parameter, and Postgres quotes it.

use base::TenantId;
use futures::stream::BoxStream;
use sqlx::{AssertSqlSafe, PgConnection};
use std::collections::BTreeMap;

/// Columns that an export leaves out: what opens something, or could be guessed from.
const SECRET_COLUMNS: [&str; 4] = ["secret", "key_id", "password_hash", "token_hash"];

/// A table with rows of tenants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantTable {
    /// As it stands in SQL, quoted if necessary.
    name: String,
}

impl TenantTable {
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Lists the tables with a tenant's rows so that each stands before those that it refers to. The audit log and its seals are
/// not among them: they are kept.
///
/// # Errors
/// When the database does not answer, or tables refer to each other in a circle.
pub async fn tables(conn: &mut PgConnection) -> Result<Vec<TenantTable>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        select quote_ident(c.relname) as "name!",
            coalesce(array_agg(distinct quote_ident(r.relname)) filter (where r.oid is not null), '{}') as "referred_by!"
        from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
        left join pg_constraint k on k.confrelid = c.oid and k.contype = 'f' and k.conrelid <> c.oid
        left join pg_class r on r.oid = k.conrelid
        where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
            and c.relname not in ('audit_entries', 'audit_batches', 'audit_seals')
        group by c.relname
        "#
    )
    .fetch_all(conn)
    .await?;
    let references = rows.into_iter().map(|row| (row.name, row.referred_by));
    in_order(references.collect())
        .ok_or_else(|| sqlx::Error::Protocol("tables refer to each other in a circle".into()))
}

/// Puts each table after those that refer to it. `None` if that cannot be.
fn in_order(mut referred_by: BTreeMap<String, Vec<String>>) -> Option<Vec<TenantTable>> {
    let mut order = Vec::with_capacity(referred_by.len());
    while !referred_by.is_empty() {
        let free = |(name, by): (&String, &Vec<String>)| {
            by.iter()
                .all(|other| !referred_by.contains_key(other))
                .then(|| name.clone())
        };
        let name = referred_by.iter().find_map(free)?;
        referred_by.remove(&name);
        order.push(TenantTable { name });
    }
    Some(order)
}

/// Lets the transaction delete append-only rows of this tenant, and take its time.
pub async fn allow_erasure(conn: &mut PgConnection, tenant: TenantId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select set_config('postroom.erased_tenant', $1, true) as tenant, set_config('statement_timeout', '120s', true) as timeout",
        tenant.to_string(),
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

/// Lets the transaction take its time.
pub async fn take_time(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    const SET: &str = "set local statement_timeout = '10min'";
    sqlx::raw_sql(SET).execute(conn).await.map(drop)
}

/// Deletes up to `limit` rows of the tenant, and returns how many. The caller's transaction was allowed to by
/// [`allow_erasure`].
///
/// # Errors
/// When the database refuses, for example a role that may not delete.
pub async fn delete(
    conn: &mut PgConnection,
    tenant: TenantId,
    table: &TenantTable,
    limit: i64,
) -> Result<u64, sqlx::Error> {
    let name = &table.name;
    let sql = format!(
        "delete from {name} where ctid = any (array(select ctid from {name} where tenant_id = $1 limit $2))"
    );
    #[expect(
        clippy::disallowed_methods,
        reason = "the table's name is no parameter"
    )]
    let done = sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(limit)
        .execute(conn)
        .await?;
    Ok(done.rows_affected())
}

/// Makes the transaction read one snapshot, change nothing and take its time. Its first statement.
pub async fn read_one_snapshot(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    // A reader of the rows may pause for as long as it likes.
    const BEGIN: &str = "set transaction isolation level repeatable read, read only; set local statement_timeout = 0; \
                         set local idle_in_transaction_session_timeout = 0";
    sqlx::raw_sql(BEGIN).execute(conn).await.map(drop)
}

/// Reads the tenant's own row as JSON.
pub async fn own_row(conn: &mut PgConnection, tenant: TenantId) -> Result<String, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select to_jsonb(t)::text as "row!" from tenants t where id = $1"#,
        tenant.0
    )
    .fetch_one(conn)
    .await
}

/// Reads the tenant's rows of a table as JSON, without secrets; bytes are `\x` and hex digits.
pub fn rows<'c>(
    conn: &'c mut PgConnection,
    tenant: TenantId,
    table: &TenantTable,
) -> BoxStream<'c, Result<String, sqlx::Error>> {
    let name = &table.name;
    let sql =
        format!("select (to_jsonb(t) - $2::text[])::text from {name} t where t.tenant_id = $1");
    sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(SECRET_COLUMNS.map(str::to_owned).to_vec())
        .fetch(conn)
}

/// Returns a line of an export; `row` is JSON already.
pub fn exported(table: &str, row: &str) -> String {
    format!("{{\"table\":\"{table}\",\"row\":{row}}}")
}

/// Whether an attempt of one of the tenant's jobs runs.
pub async fn any_running(conn: &mut PgConnection, tenant: TenantId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from jobs where tenant_id = $1 and state = 'running') as "any!""#,
        tenant.0
    )
    .fetch_one(conn)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(references: &[(&str, &[&str])]) -> Option<Vec<String>> {
        let owned = |names: &&[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let all = references
            .iter()
            .map(|(name, by)| ((*name).to_owned(), owned(by)));
        let order = in_order(all.collect())?;
        Some(order.into_iter().map(|table| table.name).collect())
    }

    #[test]
    fn table_stands_after_those_that_refer_to_it() {
        let order = tables(&[
            ("messages", &["drafts", "tasks"]),
            ("drafts", &["versions"]),
            ("tasks", &["elsewhere"]),
            ("versions", &[]),
        ]);
        assert_eq!(order.unwrap(), ["tasks", "versions", "drafts", "messages"]);
    }

    #[test]
    fn circle_is_noticed() {
        assert_eq!(tables(&[("a", &["b"]), ("b", &["a"])]), None);
    }
}
