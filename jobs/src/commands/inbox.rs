//! The inbox: [`advance`] inside a transaction, [`wish`] for a user's request.

use super::record::{Changed, DeskError, command::Asking};
use crate::{
    domain::{
        Action, Actor, Detail, InboxItemId, NewAuditEntry, UserId,
        desk::{ItemStep, Until},
        draft::send_at::zone,
    },
    store::{
        audit,
        history::{self, NewHistoryEntry},
        inbox_items::{self, StoredItem},
        users,
    },
};
use base::{JobId, TenantId};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, PgPool};

const NOUN: &str = "inbox item";

/// Nobody means more.
const LONGEST: TimeDelta = TimeDelta::days(366);

/// Takes a step with an item that `user` may see, or any of the tenant's without one. `seen` is the version it is based on.
///
/// # Errors
/// Then nothing was changed.
pub async fn advance(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: Option<UserId>,
    id: InboxItemId,
    seen: Option<i32>,
    step: ItemStep,
) -> Result<Changed<StoredItem>, DeskError> {
    inbox_items::lock(conn, tenant, id).await?;
    let before = find(conn, tenant, user, id).await?;
    if let Some(asked) = seen.filter(|seen| *seen != before.version) {
        return Err(DeskError::Stale {
            asked,
            present: before.version,
        });
    }
    let state = before.state;
    let next = state.after(step).ok_or(DeskError::NotNow {
        state,
        verb: step.verb(),
    })?;
    let (until, task) = match step {
        ItemStep::Defer(until) => (Some(until), None),
        ItemStep::Convert(task) => (None, Some(task)),
        ItemStep::Complete | ItemStep::Dismiss | ItemStep::Reopen => (None, None),
    };
    inbox_items::set_state(conn, tenant, id, next, until, task).await?;
    let after = find(conn, tenant, user, id).await?;
    Ok(Changed {
        before,
        after,
        others: 0,
    })
}

async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: Option<UserId>,
    id: InboxItemId,
) -> Result<StoredItem, DeskError> {
    inbox_items::find(conn, tenant, user, id)
        .await?
        .ok_or(DeskError::NotFound(NOUN))
}

/// The line of history about an item, for those who see the item.
///
/// # Errors
/// When the database refuses.
pub async fn tell(
    conn: &mut PgConnection,
    tenant: TenantId,
    item: &StoredItem,
    verb: &'static str,
    job: Option<JobId>,
) -> Result<(), sqlx::Error> {
    let told = NewHistoryEntry {
        verb,
        object_kind: "inbox_item",
        object: item.id.0,
        job,
        rationale: &item.title,
    };
    history::insert_about(conn, tenant, item.owner, &told).await
}

/// The moment that is meant by somebody who says it at `now`, in their own zone.
///
/// # Errors
/// When a bucket is not offered then, or the moment is not ahead or too far.
pub async fn moment(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: Option<UserId>,
    until: Until,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, DeskError> {
    let person = match user {
        Some(user) => users::correspondent(conn, tenant, user).await?,
        None => None,
    };
    let zone = zone(person.as_ref().map_or("UTC", |person| &person.timezone));
    let moment = match until {
        Until::Bucket(bucket) => bucket
            .moment(zone, now)
            .ok_or(DeskError::NotOffered(bucket))?,
        Until::Wish(wish) => wish.resolve(zone, now),
    };
    if moment <= now || moment - now > LONGEST {
        return Err(DeskError::NotAhead);
    }
    Ok(moment)
}

/// What a person wants done with an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemWish {
    Defer(Until),
    Complete,
    Dismiss,
    Reopen,
}

/// Does it, if the item is still as the person has `seen` it.
///
/// # Errors
/// Then nothing was changed.
pub async fn wish(
    pool: &PgPool,
    asking: Asking<'_>,
    id: InboxItemId,
    seen: i32,
    wish: ItemWish,
    now: DateTime<Utc>,
) -> Result<StoredItem, DeskError> {
    let session = asking.session;
    let (tenant, user) = (session.tenant, Some(session.user));
    let mut tx = pool.begin().await?;
    let (step, action) = match wish {
        ItemWish::Defer(until) => {
            let until = moment(&mut tx, tenant, user, until, now).await?;
            (ItemStep::Defer(until), Action::ITEM_DEFERRED)
        }
        ItemWish::Complete => (ItemStep::Complete, Action::ITEM_COMPLETED),
        ItemWish::Dismiss => (ItemStep::Dismiss, Action::ITEM_DISMISSED),
        ItemWish::Reopen => (ItemStep::Reopen, Action::ITEM_REOPENED),
    };
    let after = advance(&mut tx, tenant, user, id, Some(seen), step)
        .await?
        .after;
    tell(&mut tx, tenant, &after, step.verb(), None).await?;
    let actor = Actor::User {
        user: session.user,
        session: Some(session.id),
    };
    let entry = NewAuditEntry::new(tenant, actor, action, "inbox_item", id)
        .with_request(Some(asking.request_id))
        .with_detail(Detail::new().count("version", after.version));
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(after)
}
