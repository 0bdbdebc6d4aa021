//! Subscriptions of webhooks to the ends of jobs: users set them up here, a duty starts deliveries ([`dispatch`]), and jobs
//! make them ([`deliver`]).

pub mod deliver;
pub mod dispatch;

use crate::{
    domain::{
        AuditAction, ConnectionId, NewAuditEntry, ResourceKind, Session, UserId,
        connection::{ConnectionStatus, Provider},
        inbox::{ItemSource, NewItem},
        judgement::Priority,
        name::{Name, TITLE_CHARS},
        subscription::JobEndEvent,
    },
    store::{
        audit::{self, Position},
        connections, inbox_items,
        subscriptions::{self, StoredSubscription},
    },
};
use base::{JobId, TenantId};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

/// From where events are delivered again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayFrom {
    Moment(DateTime<Utc>),
    /// After this position.
    Position(Position),
}

/// Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum SubscriptionError {
    #[error("there is no such connection, or it is not subscribed")]
    NotFound,
    #[error("the connection is not a webhook")]
    NoWebhook,
    #[error("the log does not reach this position yet")]
    Ahead,
    #[error("could not read or write the subscription")]
    Database(#[from] sqlx::Error),
}

/// Subscribes a webhook to these events from now on, or changes its events. One that was suspended or ended continues where
/// it stopped.
///
/// # Errors
/// If the connection is not the user's or is not a webhook, or the database refuses.
pub async fn put(
    pool: &PgPool,
    session: &Session,
    connection: ConnectionId,
    events: &[JobEndEvent],
    request_id: &str,
) -> Result<StoredSubscription, SubscriptionError> {
    let mut tx = pool.begin().await?;
    own(&mut tx, session, connection).await?;
    subscriptions::put(&mut tx, session.tenant, connection, events).await?;
    let action = AuditAction::SubscriptionSet;
    audit::insert(&mut tx, &[entry(session, action, connection, request_id)]).await?;
    let stored = load(&mut tx, session, connection).await?;
    tx.commit().await?;
    Ok(stored)
}

/// # Errors
/// If the connection is not the user's or is not subscribed.
pub async fn get(
    pool: &PgPool,
    session: &Session,
    connection: ConnectionId,
) -> Result<StoredSubscription, SubscriptionError> {
    let mut conn = pool.acquire().await?;
    own(&mut conn, session, connection).await?;
    load(&mut conn, session, connection).await
}

/// Ends a subscription. A call in progress may still arrive.
///
/// # Errors
/// If the connection is not the user's or is not subscribed.
pub async fn delete(
    pool: &PgPool,
    session: &Session,
    connection: ConnectionId,
    request_id: &str,
) -> Result<(), SubscriptionError> {
    let mut tx = pool.begin().await?;
    own(&mut tx, session, connection).await?;
    if !subscriptions::delete(&mut tx, session.tenant, connection).await? {
        return Err(SubscriptionError::NotFound);
    }
    let action = AuditAction::SubscriptionDeleted;
    audit::insert(&mut tx, &[entry(session, action, connection, request_id)]).await?;
    tx.commit().await?;
    Ok(())
}

/// Delivers events again, under the ids that they had, and resumes a subscription that was suspended or ended.
///
/// # Errors
/// If the connection is not the user's or is not subscribed, or the log does not reach the position.
pub async fn replay(
    pool: &PgPool,
    session: &Session,
    connection: ConnectionId,
    from: ReplayFrom,
    request_id: &str,
) -> Result<StoredSubscription, SubscriptionError> {
    let mut tx = pool.begin().await?;
    own(&mut tx, session, connection).await?;
    let position = match from {
        ReplayFrom::Moment(moment) => audit::before(&mut tx, session.tenant, moment).await?,
        ReplayFrom::Position(position) => {
            let watermark = audit::watermark(&mut tx).await?;
            let end = Position {
                xid: watermark,
                seq: 0,
            };
            if position > end {
                return Err(SubscriptionError::Ahead);
            }
            position
        }
    };
    if !subscriptions::rewind(&mut tx, session.tenant, connection, position).await? {
        return Err(SubscriptionError::NotFound);
    }
    let action = AuditAction::SubscriptionReplayed;
    audit::insert(&mut tx, &[entry(session, action, connection, request_id)]).await?;
    let stored = load(&mut tx, session, connection).await?;
    tx.commit().await?;
    Ok(stored)
}

/// A colleague's connection is reported as not found.
async fn own(
    conn: &mut PgConnection,
    session: &Session,
    connection: ConnectionId,
) -> Result<(), SubscriptionError> {
    let found = connections::find(conn, session.tenant, connection)
        .await?
        .filter(|found| found.user == session.user && found.status != ConnectionStatus::Revoked)
        .ok_or(SubscriptionError::NotFound)?;
    if found.settings.provider() == Provider::Webhook {
        Ok(())
    } else {
        Err(SubscriptionError::NoWebhook)
    }
}

async fn load(
    conn: &mut PgConnection,
    session: &Session,
    connection: ConnectionId,
) -> Result<StoredSubscription, SubscriptionError> {
    subscriptions::find(conn, session.tenant, connection)
        .await?
        .ok_or(SubscriptionError::NotFound)
}

fn entry(
    session: &Session,
    action: AuditAction,
    connection: ConnectionId,
    request_id: &str,
) -> NewAuditEntry {
    session
        .audit(action, ResourceKind::Connection, connection)
        .with_request(Some(request_id))
}

/// Tells the webhook's owner in the inbox why nothing is delivered any more, once per job that stopped.
async fn tell_owner(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    (connection, job): (ConnectionId, JobId),
    (title, rationale): (&str, &str),
) -> Result<(), sqlx::Error> {
    let title = Name::parse(title, TITLE_CHARS)
        .map_err(|_| sqlx::Error::Protocol("the title of an inbox item is invalid".into()))?;
    let item = NewItem {
        owner: Some(user),
        source: ItemSource::Manual,
        dedupe_key: format!("subscription:{connection}:{job}"),
        title,
        rationale: rationale.to_owned(),
        priority: Priority::High,
        message: None,
        job: Some(job),
    };
    inbox_items::insert(conn, tenant, &item).await?;
    Ok(())
}
