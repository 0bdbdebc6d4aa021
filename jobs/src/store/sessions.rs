//! `sessions`: one row per signed-in client, whatever the number of its tokens.
//!
//! Only this row says whether a session is alive. Tokens are in [`super::session_tokens`].

use crate::domain::{
    Session, SessionId, UserId,
    session::{AuthMethod, Caller, Origin, RevokeReason, Role, SessionLifetime},
};
use base::TenantId;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use std::net::IpAddr;

/// A session to insert.
#[derive(Clone, Debug)]
pub struct NewSession {
    pub tenant: TenantId,
    pub user: UserId,
    pub role: Role,
    pub auth_method: AuthMethod,
    pub lifetime: SessionLifetime,
    pub origin: Origin,
}

/// A live session in its user's list.
#[derive(Clone, Debug)]
pub struct ListedSession {
    pub id: SessionId,
    pub auth_method: String,
    pub created_at: DateTime<Utc>,
    /// To the minute.
    pub last_used_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    pub idle_expires_at: DateTime<Utc>,
    pub ip: Option<String>,
    pub user_agent: Option<String>,
}

/// Inserts a session, without a token.
pub async fn insert(conn: &mut PgConnection, new: &NewSession) -> Result<Session, sqlx::Error> {
    let id = SessionId::new();
    let row = sqlx::query!(
        r#"
        insert into sessions (
            tenant_id, id, user_id, auth_method, expires_at, idle_timeout, idle_expires_at, ip, user_agent)
        select $1, $2, $3, $4, now() + life.absolute, life.idle, now() + least(life.idle, life.absolute), $7::text::inet, $8
        from (select make_interval(secs => $5::float8) as absolute, make_interval(secs => $6::float8) as idle) as life
        returning created_at, expires_at, idle_expires_at
        "#,
        new.tenant.0,
        id.0,
        new.user.0,
        new.auth_method.as_str(),
        new.lifetime.absolute.as_secs_f64(),
        new.lifetime.idle.as_secs_f64(),
        new.origin.ip.map(|ip| ip.to_string()),
        new.origin.user_agent,
    )
    .fetch_one(conn)
    .await?;
    Ok(Session {
        id,
        tenant: new.tenant,
        user: new.user,
        caller: Caller::User(new.role),
        auth_method: new.auth_method,
        fresh: true,
        paused: false,
        must_enrol: false,
        created_at: row.created_at,
        expires_at: row.expires_at,
        idle_expires_at: row.idle_expires_at,
        client_request_id: None,
    })
}

/// Locks the session against other rotations and revocations until the transaction ends.
///
/// # Errors
/// When the database does not answer, or the lock timeout passes.
pub async fn lock(
    conn: &mut PgConnection,
    tenant: TenantId,
    session: SessionId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select id from sessions where tenant_id = $1 and id = $2 for update",
        tenant.0,
        session.0,
    )
    .fetch_optional(conn)
    .await?;
    Ok(())
}

/// Records that the user has just typed their password in this session.
pub async fn set_authenticated(
    conn: &mut PgConnection,
    tenant: TenantId,
    session: SessionId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update sessions set authenticated_at = now() where tenant_id = $1 and id = $2",
        tenant.0,
        session.0,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Records when the user last proved who they are to the provider whose token opened this session.
pub async fn set_authenticated_at(
    conn: &mut PgConnection,
    tenant: TenantId,
    session: SessionId,
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update sessions set authenticated_at = least($3, now()) where tenant_id = $1 and id = $2",
        tenant.0,
        session.0,
        at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Marks that the session reads the audit log. False if it was marked within the last hour.
pub async fn mark_audit_read(
    conn: &mut PgConnection,
    tenant: TenantId,
    session: SessionId,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update sessions set audit_read_at = now()
         where tenant_id = $1 and id = $2 and (audit_read_at is null or audit_read_at <= now() - interval '1 hour')",
        tenant.0,
        session.0,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Revokes one of the user's sessions. False if there is no such live session.
pub async fn revoke(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    session: SessionId,
    reason: RevokeReason,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update sessions set revoked_at = now(), revoke_reason = $4
         where tenant_id = $1 and user_id = $2 and id = $3 and revoked_at is null",
        tenant.0,
        user.0,
        session.0,
        reason.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether the user ever had this session, as far back as rows are kept.
pub async fn exists(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    session: SessionId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select exists (select from sessions where tenant_id = $1 and user_id = $2 and id = $3) as "exists!"
        "#,
        tenant.0,
        user.0,
        session.0,
    )
    .fetch_one(conn)
    .await
}

/// Whether the session is alive now. Does not count as a use.
pub async fn is_alive(
    conn: &mut PgConnection,
    tenant: TenantId,
    session: SessionId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from sessions s
            join users u on u.tenant_id = s.tenant_id and u.id = s.user_id
            join tenants on tenants.id = s.tenant_id
            where s.tenant_id = $1 and s.id = $2
              and s.revoked_at is null and s.expires_at > now() and s.idle_expires_at > now()
              and u.status = 'active' and tenants.status <> 'closed'
        ) as "alive!"
        "#,
        tenant.0,
        session.0,
    )
    .fetch_one(conn)
    .await
}

/// Revokes all of the user's sessions except `except`.
pub async fn revoke_all(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    except: Option<SessionId>,
    reason: RevokeReason,
) -> Result<Vec<SessionId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        update sessions set revoked_at = now(), revoke_reason = $4
        where tenant_id = $1 and user_id = $2 and id is distinct from $3 and revoked_at is null
        returning id as "id: SessionId"
        "#,
        tenant.0,
        user.0,
        except.map(|id| id.0),
        reason.as_str(),
    )
    .fetch_all(conn)
    .await
}

/// Revokes the user's oldest live sessions until `keep` are left. The caller holds the user's row, or two concurrent
/// logins would each count without the other.
pub async fn revoke_excess(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    keep: i64,
) -> Result<Vec<SessionId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        with excess as (
            select id from sessions
            where tenant_id = $1 and user_id = $2 and revoked_at is null and expires_at > now() and idle_expires_at > now()
            order by created_at desc, id desc
            offset $3
        )
        update sessions set revoked_at = now(), revoke_reason = $4
        from excess
        where sessions.tenant_id = $1 and sessions.id = excess.id and sessions.revoked_at is null
        returning sessions.id as "id: SessionId"
        "#,
        tenant.0,
        user.0,
        keep,
        RevokeReason::Excess.as_str(),
    )
    .fetch_all(conn)
    .await
}

/// Whether the user has opened a session from this address before, as far as sessions are kept.
pub async fn opened_from(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    ip: IpAddr,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from sessions where tenant_id = $1 and user_id = $2 and host(ip) = $3
        ) as "opened!"
        "#,
        tenant.0,
        user.0,
        ip.to_string(),
    )
    .fetch_one(conn)
    .await
}

/// Lists the user's live sessions, newest first; there are at most [`crate::domain::session::MAX_SESSIONS`].
pub async fn list(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
) -> Result<Vec<ListedSession>, sqlx::Error> {
    sqlx::query_as!(
        ListedSession,
        r#"
        select id as "id: SessionId", auth_method, created_at, last_used_at, expires_at, idle_expires_at,
            host(ip) as ip, user_agent
        from sessions
        where tenant_id = $1 and user_id = $2 and revoked_at is null and expires_at > now() and idle_expires_at > now()
        order by created_at desc, id desc
        "#,
        tenant.0,
        user.0,
    )
    .fetch_all(conn)
    .await
}

/// Deletes up to `limit` sessions that ended more than 30 days ago, with their tokens; returns how many.
///
/// Until then a replaced token is still recognised, so that its use can be told from a guess.
pub async fn purge(conn: &mut PgConnection, limit: i64) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "with ended as (
             select tenant_id, id from sessions
             where least(revoked_at, expires_at, idle_expires_at) < now() - interval '30 days'
             order by tenant_id, id
             limit $1
             for update skip locked
         )
         delete from sessions using ended
         where sessions.tenant_id = ended.tenant_id and sessions.id = ended.id",
        limit,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
