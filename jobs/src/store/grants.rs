//! The rights of the application's database role: [`grant_application`].
//!
//! The only statements of the crate that are built at run time, because a role's name cannot be a parameter; a
//! [`DbRole`] is an identifier and is quoted besides.

use sqlx::{AssertSqlSafe, PgConnection};
use std::{fmt, str::FromStr};

/// Append-only tables. Their triggers refuse changes too, but a table's owner can drop a trigger.
const APPEND_ONLY: [&str; 5] = [
    "audit_entries",
    "audit_batches",
    "audit_seals",
    "history_entries",
    "draft_versions",
];

/// What the application writes of an audit entry. Its time, its transaction, its number and its id are the database's.
const AUDIT_COLUMNS: &str = "tenant_id, actor_kind, actor_id, session_id, action, resource_kind, resource_id, request_id, \
    trace_id, job_id, attempt, outcome, dry_run, error_code, detail";

const AUDIT_BATCH_COLUMNS: &str =
    "tenant_id, worker_id, entries, job_ids, attempts, request_ids, request_hashes, trace_ids";

/// Functions that the statements call. PUBLIC may execute them by default, but a database may be stricter.
const FUNCTIONS: &str = "pick_jobs, pick_jobs_after, start_picked, settle_succeeded, finish_succeeded, settle_placed, \
    finish_placed, settle_audited, audit_entries_of, forget_old_emails, forget_old_writings, owners_decided_by";

/// Tables of the migrations, which the service only reads.
const READ_ONLY: &str = "_sqlx_migrations, schema_compatibility";

/// The name of a database role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DbRole(String);

/// Not the name of a role that can be granted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be 1 to 63 lower-case letters, digits and underscores, not begin with a digit, and not with pg_"
)]
pub struct MalformedRole;

impl FromStr for DbRole {
    type Err = MalformedRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let fits = (1..=63).contains(&text.len())
            && text.chars().all(allowed)
            && !text.starts_with(|c: char| c.is_ascii_digit())
            && !text.starts_with("pg_")
            // A keyword of GRANT, which quoting would turn into a role of that name.
            && text != "public";
        fits.then(|| Self(text.to_owned())).ok_or(MalformedRole)
    }
}

impl fmt::Display for DbRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether grants restrict a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleRestriction {
    Missing,
    /// A superuser or the tables' owner: grants do not restrict it.
    AboveGrants,
    Bound,
}

/// Classifies the role by its rights on the tables of this schema, memberships included.
pub async fn restriction(
    conn: &mut PgConnection,
    role: &DbRole,
) -> Result<RoleRestriction, sqlx::Error> {
    let above = sqlx::query_scalar!(
        r#"
        select r.rolsuper or pg_has_role(r.oid, c.relowner, 'member') as "above!"
        from pg_roles r, pg_class c
        where r.rolname = $1 and c.oid = 'audit_entries'::regclass
        "#,
        role.0,
    )
    .fetch_optional(conn)
    .await?;
    Ok(match above {
        None => RoleRestriction::Missing,
        Some(true) => RoleRestriction::AboveGrants,
        Some(false) => RoleRestriction::Bound,
    })
}

/// Grants the role to read and write rows of every table, but only to insert into those that are append-only. Revokes
/// its former rights first, so that a repeated call narrows as well as widens.
///
/// # Errors
/// When the database refuses, for example because the caller does not own the tables.
pub async fn grant_application(conn: &mut PgConnection, role: &DbRole) -> Result<(), sqlx::Error> {
    let append_only = APPEND_ONLY.join(", ");
    // One string is one implicit transaction. A trigger function needs no EXECUTE for the role that it stops.
    let sql = format!(
        r#"
        revoke all on all tables in schema public from "{role}";
        revoke create on schema public from "{role}";
        grant usage on schema public to "{role}";
        grant select, insert, update, delete on all tables in schema public to "{role}";
        grant usage on all sequences in schema public to "{role}";
        grant execute on function {FUNCTIONS} to "{role}";
        revoke update, delete on {append_only} from "{role}";
        revoke insert on audit_entries, audit_batches from "{role}";
        grant insert ({AUDIT_COLUMNS}) on audit_entries to "{role}";
        grant insert ({AUDIT_BATCH_COLUMNS}) on audit_batches to "{role}";
        revoke insert, update, delete on {READ_ONLY} from "{role}";
        "#
    );
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(conn)
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_identifiers_are_roles() {
        for good in ["app", "postroom_app", "_a1"] {
            assert!(good.parse::<DbRole>().is_ok(), "{good}");
        }
        let long = "a".repeat(64);
        for bad in [
            "",
            "App",
            "1a",
            "a-b",
            "a\"; drop table users; --",
            "a b",
            "pg_write_all_data",
            "public",
            "a\0",
            &long,
        ] {
            assert_eq!(bad.parse::<DbRole>(), Err(MalformedRole), "{bad}");
        }
    }
}
