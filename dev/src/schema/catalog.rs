//! The tables, indexes, triggers and functions of a database, read from Postgres' catalog: [`Catalog`]. Changes nothing.

use serde::Deserialize;
use sqlx::PgConnection;
use sqlx::types::Json;

/// Everything in the schema `public` but what extensions bring and the migrator keeps.
#[derive(Debug, Deserialize)]
pub(super) struct Catalog {
    pub(super) extensions: Vec<String>,
    /// Complete definitions, ordered by name.
    pub(super) functions: Vec<String>,
    pub(super) tables: Vec<Table>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Table {
    pub(super) name: String,
    /// Storage parameters as `name=value`.
    pub(super) options: Vec<String>,
    pub(super) columns: Vec<Column>,
    pub(super) constraints: Vec<Constraint>,
    /// Definitions of the indexes that belong to no constraint, ordered by name.
    pub(super) indexes: Vec<String>,
    pub(super) triggers: Vec<Trigger>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Column {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) not_null: bool,
    pub(super) default: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Constraint {
    pub(super) name: String,
    pub(super) definition: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Trigger {
    pub(super) name: String,
    pub(super) definition: String,
    /// Also fires on replicas (`enable always`).
    pub(super) always: bool,
}

/// Constraints of Postgres 18 include `not null`, which the column shows already: only primary keys, unique constraints,
/// foreign keys, checks and exclusions are read, in this order.
const CATALOG: &str = "
select jsonb_build_object(
    'extensions', (
        select coalesce(jsonb_agg(extname order by extname), '[]') from pg_extension where extname <> 'plpgsql'),
    'functions', (
        select coalesce(jsonb_agg(pg_get_functiondef(p.oid) order by p.proname), '[]')
        from pg_proc p
        where p.pronamespace = 'public'::regnamespace and not exists (
            select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')),
    'tables', (
        select coalesce(jsonb_agg(jsonb_build_object(
            'name', c.relname,
            'options', coalesce(to_jsonb(c.reloptions), '[]'),
            'columns', (
                select jsonb_agg(jsonb_build_object(
                    'name', a.attname,
                    'type', format_type(a.atttypid, a.atttypmod),
                    'not_null', a.attnotnull,
                    'default', pg_get_expr(d.adbin, d.adrelid)) order by a.attnum)
                from pg_attribute a
                left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
                where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
            'constraints', (
                select coalesce(jsonb_agg(
                    jsonb_build_object('name', k.conname, 'definition', pg_get_constraintdef(k.oid))
                    order by position(k.contype in 'pufcx'), k.conname), '[]')
                from pg_constraint k where k.conrelid = c.oid and k.contype in ('p', 'u', 'f', 'c', 'x')),
            'indexes', (
                select coalesce(jsonb_agg(pg_get_indexdef(i.indexrelid) order by i.indexrelid::regclass::text), '[]')
                from pg_index i
                where i.indrelid = c.oid and not exists (select from pg_constraint k where k.conindid = i.indexrelid)),
            'triggers', (
                select coalesce(jsonb_agg(jsonb_build_object(
                    'name', t.tgname,
                    'definition', pg_get_triggerdef(t.oid),
                    'always', t.tgenabled = 'A') order by t.tgname), '[]')
                from pg_trigger t where t.tgrelid = c.oid and not t.tgisinternal)
        ) order by c.relname), '[]')
        from pg_class c
        where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and c.relname <> '_sqlx_migrations')
)";

pub(super) async fn read(conn: &mut PgConnection) -> Result<Catalog, sqlx::Error> {
    let Json(catalog) = sqlx::query_scalar(CATALOG).fetch_one(conn).await?;
    Ok(catalog)
}
