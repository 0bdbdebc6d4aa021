//! Keys keep tenants apart: no row can name a row of another tenant.

use crate::support::TestDb;

/// Names what the statement finds, one to a line.
async fn found(sql: &'static str) -> Vec<String> {
    let db = TestDb::new().await;
    sqlx::query_scalar(sql).fetch_all(db.pool()).await.unwrap()
}

#[tokio::test]
async fn foreign_key_between_tables_of_tenants_holds_the_tenant_on_both_sides() {
    let apart = found(
        "with columns as (
            select k.conname, k.conrelid, k.confrelid, here.attname as here, there.attname as there
            from pg_constraint k
                cross join lateral unnest(k.conkey, k.confkey) as pair (here, there)
                join pg_attribute here on here.attrelid = k.conrelid and here.attnum = pair.here
                join pg_attribute there on there.attrelid = k.confrelid and there.attnum = pair.there
            where k.contype = 'f' and k.connamespace = 'public'::regnamespace
         ), of_tenants as (
            select attrelid from pg_attribute where attname = 'tenant_id' and not attisdropped
         )
         select conname::text from columns
         where conrelid in (table of_tenants) and confrelid in (table of_tenants)
         group by conname
         having not bool_or(here = 'tenant_id' and there = 'tenant_id')
         order by conname",
    )
    .await;
    assert_eq!(apart, [""; 0]);
}

#[tokio::test]
async fn primary_key_of_a_table_of_tenants_starts_with_the_tenant() {
    let others = found(
        "select c.relname::text from pg_class c
            join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'
            join pg_index i on i.indrelid = c.oid and i.indisprimary
         where c.relnamespace = 'public'::regnamespace and i.indkey[0] <> a.attnum
         order by c.relname",
    )
    .await;
    // A token is found by its hash, an attempt by its job.
    assert_eq!(others, ["api_key_tokens", "job_attempts"]);
}
