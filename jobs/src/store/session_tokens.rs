//! `session_tokens`: the generations of a session's tokens, as hashes.
//!
//! Start with [`present`], the first statement of every request. A transaction that writes two generations writes the
//! newer one first, so that concurrent requests on one session lock in one order.

use crate::domain::{
    Session, SessionId, UserId,
    session::{AuthMethod, Caller, FRESH_FOR, Role},
    token::TokenHash,
};
use base::{TenantId, str_enum};
use sqlx::PgConnection;

str_enum! {
    /// The state of a token when it is presented.
    TokenState {
        Alive = "alive",
        /// Logged out, or revoked from elsewhere.
        Revoked = "revoked",
        Expired = "expired",
        /// Idle for too long.
        Idle = "idle",
        /// The user is suspended or the tenant closed.
        Closed = "closed",
        /// Superseded, and its grace is over: two parties hold tokens of one session.
        Reused = "reused",
    }
}

/// A known token and its session.
#[derive(Clone, Debug)]
pub struct Presented {
    pub session: Session,
    pub state: TokenState,
    pub generation: i32,
    /// A successor was issued; this token is accepted for a while.
    pub superseded: bool,
}

/// Looks up a token and, if its session is alive, records the use.
///
/// Uses are recorded once a minute, so most calls write nothing. The first use of a token proves that its owner has
/// received it, and shortens its predecessor's grace to 10 s, enough for requests in flight.
pub async fn present(
    conn: &mut PgConnection,
    hash: &TokenHash,
) -> Result<Option<Presented>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        with presented as (
            select t.token_hash, t.generation, t.first_used_at is null as unused, t.superseded_at is not null as superseded,
                s.tenant_id, s.id, s.user_id, u.role, s.auth_method, s.created_at, s.expires_at, s.idle_expires_at,
                s.authenticated_at > now() - make_interval(secs => $2::float8) as fresh, tenants.status = 'paused' as paused,
                tenants.require_second_factor and s.auth_method <> 'oidc' and not exists (
                    select from second_factors f
                    where f.tenant_id = u.tenant_id and f.user_id = u.id and f.confirmed_at is not null) as must_enrol,
                -- A quarter of a short idle timeout, or an active session could expire between two notes.
                s.last_used_at <= now() - least(interval '60 seconds', s.idle_timeout / 4) as stale,
                case
                    when s.revoked_at is not null then 'revoked'
                    when s.expires_at <= now() then 'expired'
                    when s.idle_expires_at <= now() then 'idle'
                    when u.status <> 'active' or tenants.status = 'closed' then 'closed'
                    when t.retired_at is not null or t.grace_until <= now() then 'reused'
                    else 'alive'
                end as state
            from session_tokens t
            join sessions s on s.id = t.session_id
            join users u on u.tenant_id = s.tenant_id and u.id = s.user_id
            join tenants on tenants.id = s.tenant_id
            where t.token_hash = $1
        ), free as (
            -- A rotation that holds the row is waited for by nobody: the note can be left to the next request.
            select s.tenant_id, s.id from sessions s join presented p on p.tenant_id = s.tenant_id and p.id = s.id
            where p.state = 'alive' and p.stale and s.revoked_at is null
            for no key update of s skip locked
        ), noted as (
            update sessions s
            set last_used_at = now(), idle_expires_at = least(now() + s.idle_timeout, s.expires_at)
            from free
            where s.tenant_id = free.tenant_id and s.id = free.id
            returning s.idle_expires_at
        ), first_use as (
            update session_tokens t set first_used_at = now()
            from presented p
            where p.state = 'alive' and p.unused and t.token_hash = p.token_hash
                and t.first_used_at is null and t.retired_at is null
            returning t.session_id, t.generation
        ), shortened as (
            update session_tokens t set grace_until = least(t.grace_until, now() + interval '10 seconds')
            from first_use
            where t.session_id = first_use.session_id and t.generation = first_use.generation - 1
                and t.superseded_at is not null
        )
        select token_hash, generation, superseded as "superseded!", state as "state!: TokenState",
            tenant_id as "tenant_id: TenantId", id as "id: SessionId", user_id as "user_id: UserId",
            role as "role: Role", auth_method as "auth_method: AuthMethod", created_at, expires_at, fresh as "fresh!", paused as "paused!",
            must_enrol as "must_enrol!",
            coalesce((select idle_expires_at from noted), idle_expires_at) as "idle_expires_at!"
        from presented
        "#,
        hash.as_bytes(),
        FRESH_FOR.as_secs_f64(),
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row.filter(|row| hash.matches(&row.token_hash)) else {
        return Ok(None);
    };
    Ok(Some(Presented {
        session: Session {
            id: row.id,
            tenant: row.tenant_id,
            user: row.user_id,
            caller: Caller::User(row.role),
            auth_method: row.auth_method,
            fresh: row.fresh,
            paused: row.paused,
            must_enrol: row.must_enrol,
            created_at: row.created_at,
            expires_at: row.expires_at,
            idle_expires_at: row.idle_expires_at,
            client_request_id: None,
        },
        state: row.state,
        generation: row.generation,
        superseded: row.superseded,
    }))
}

/// Finds the sessions of tokens for which [`present`] would write nothing and answer that they are alive, by the
/// positions of `hashes`. All others need [`present`].
pub async fn find_in_use(
    conn: &mut PgConnection,
    hashes: &[TokenHash],
) -> Result<Vec<Option<Session>>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        select asked.place as "place!", t.token_hash, s.tenant_id as "tenant_id: TenantId", s.id as "id: SessionId",
            s.user_id as "user_id: UserId", u.role as "role: Role", s.auth_method as "auth_method: AuthMethod",
            s.created_at, s.expires_at, s.idle_expires_at,
            s.authenticated_at > now() - make_interval(secs => $2::float8) as "fresh!",
            tenants.status = 'paused' as "paused!",
            tenants.require_second_factor and s.auth_method <> 'oidc' and not exists (
                select from second_factors f
                where f.tenant_id = u.tenant_id and f.user_id = u.id and f.confirmed_at is not null) as "must_enrol!"
        from unnest($1::bytea[]) with ordinality as asked (token_hash, place)
        join session_tokens t on t.token_hash = asked.token_hash
        join sessions s on s.id = t.session_id
        join users u on u.tenant_id = s.tenant_id and u.id = s.user_id
        join tenants on tenants.id = s.tenant_id
        where s.revoked_at is null and s.expires_at > now() and s.idle_expires_at > now()
            and u.status = 'active' and tenants.status <> 'closed'
            and t.retired_at is null and (t.grace_until is null or t.grace_until > now())
            and t.first_used_at is not null
            and s.last_used_at > now() - least(interval '60 seconds', s.idle_timeout / 4)
        "#,
        &hashes.iter().map(|hash| hash.as_bytes().to_vec()).collect::<Vec<_>>(),
        FRESH_FOR.as_secs_f64(),
    )
    .fetch_all(conn)
    .await?;
    let mut sessions = vec![None; hashes.len()];
    for row in rows {
        // Postgres counts from 1.
        let place =
            usize::try_from(row.place - 1).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        if !hashes[place].matches(&row.token_hash) {
            continue;
        }
        sessions[place] = Some(Session {
            id: row.id,
            tenant: row.tenant_id,
            user: row.user_id,
            caller: Caller::User(row.role),
            auth_method: row.auth_method,
            fresh: row.fresh,
            paused: row.paused,
            must_enrol: row.must_enrol,
            created_at: row.created_at,
            expires_at: row.expires_at,
            idle_expires_at: row.idle_expires_at,
            client_request_id: None,
        });
    }
    Ok(sessions)
}

/// Inserts a token.
pub async fn insert(
    conn: &mut PgConnection,
    session: SessionId,
    generation: i32,
    hash: &TokenHash,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into session_tokens (token_hash, session_id, generation) values ($1, $2, $3)",
        hash.as_bytes(),
        session.0,
        generation,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Starts the token's grace of five minutes, which never outlasts its session.
pub async fn supersede(conn: &mut PgConnection, hash: &TokenHash) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update session_tokens t
         set superseded_at = now(), grace_until = least(now() + interval '5 minutes', s.expires_at)
         from sessions s
         where t.token_hash = $1 and s.id = t.session_id and t.superseded_at is null",
        hash.as_bytes(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Ends the grace of all tokens before this generation: only the newest token's direct predecessor is still accepted.
pub async fn end_grace_before(
    conn: &mut PgConnection,
    session: SessionId,
    generation: i32,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update session_tokens set grace_until = now()
         where session_id = $1 and generation < $2 and grace_until > now()",
        session.0,
        generation,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Retires the unused tokens of this generation, whose answer was lost. A later use of one counts as reuse.
pub async fn retire_unused(
    conn: &mut PgConnection,
    session: SessionId,
    generation: i32,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update session_tokens set retired_at = now()
         where session_id = $1 and generation = $2 and first_used_at is null and retired_at is null",
        session.0,
        generation,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether the session has a token of a later generation that is not retired.
pub async fn has_heir(
    conn: &mut PgConnection,
    session: SessionId,
    generation: i32,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from session_tokens where session_id = $1 and generation > $2 and retired_at is null) as "exists!"
        "#,
        session.0,
        generation,
    )
    .fetch_one(conn)
    .await
}
