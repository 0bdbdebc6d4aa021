//! The inbox: [`advance`] in a larger transaction, [`execute`] for a person.

use super::record::{Changed, RecordError, command::Caller};
use crate::domain::ResourceKind;
use crate::domain::history::HistoryVerb;
use crate::{
    domain::{
        AuditAction, Detail, EffectId, InboxItemId, NewAuditEntry, SeenVersions, UserId,
        draft::send_at::zone,
        inbox::{ItemStep, Until},
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

/// The latest time to which an item can be deferred.
const LONGEST: TimeDelta = TimeDelta::days(366);

/// Completes an item for the system, and returns it. One that a person has dealt with stays as it is.
pub(in crate::commands) async fn complete(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: InboxItemId,
    job: Option<JobId>,
) -> Result<Option<StoredItem>, sqlx::Error> {
    let step = ItemStep::Complete;
    match advance(conn, tenant, None, id, None, step).await {
        Ok(changed) => {
            record_history(conn, tenant, &changed.after, step.verb(), job).await?;
            Ok(Some(changed.after))
        }
        Err(RecordError::Database(error)) => Err(error),
        Err(_) => Ok(None),
    }
}

/// Completes the items of the email that this effect has answered; does nothing for other effects.
pub(in crate::commands) async fn complete_answered(
    conn: &mut PgConnection,
    (tenant, effect): (TenantId, EffectId),
    job: Option<JobId>,
    entry: &(dyn Fn(AuditAction, ResourceKind, String) -> NewAuditEntry + Sync),
) -> Result<(), sqlx::Error> {
    let mut entries = Vec::new();
    for id in inbox_items::answered_by(conn, tenant, effect).await? {
        if let Some(item) = complete(conn, tenant, id, job).await? {
            let (action, kind) = (AuditAction::ItemCompleted, ResourceKind::InboxItem);
            let detail = Detail::new()
                .count("version", item.version)
                .id("answered_by_effect", effect.0);
            entries.push(entry(action, kind, id.to_string()).with_detail(detail));
        }
    }
    audit::insert(conn, &entries).await
}

/// Takes a step with an item that `user` may see, or without a user with any item of the tenant. `seen` is what the
/// step is based on.
///
/// # Errors
/// Then nothing was changed.
pub async fn advance(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: Option<UserId>,
    id: InboxItemId,
    seen: Option<&SeenVersions>,
    step: ItemStep,
) -> Result<Changed<StoredItem>, RecordError> {
    inbox_items::lock(conn, tenant, id).await?;
    let before = find(conn, tenant, user, id).await?;
    if seen.is_some_and(|seen| !seen.include(before.version)) {
        return Err(RecordError::Stale {
            present: before.version,
        });
    }
    let state = before.state;
    let next = state.after(step).ok_or(RecordError::NotNow {
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
) -> Result<StoredItem, RecordError> {
    inbox_items::find(conn, tenant, user, id)
        .await?
        .ok_or(RecordError::NotFound(NOUN))
}

/// Writes the history entry of an item, for those who see the item.
pub async fn record_history(
    conn: &mut PgConnection,
    tenant: TenantId,
    item: &StoredItem,
    verb: HistoryVerb,
    job: Option<JobId>,
) -> Result<(), sqlx::Error> {
    let history_entry = NewHistoryEntry {
        verb,
        object_kind: ResourceKind::InboxItem,
        object: item.id.0,
        job,
        rationale: &item.title,
    };
    history::insert_about(conn, tenant, item.owner, &history_entry).await
}

/// Resolves a bucket or a time of day at `now`, in the user's time zone.
///
/// # Errors
/// If the bucket is not offered at this hour, or the time is past or too far ahead.
pub async fn moment(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: Option<UserId>,
    until: Until,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, RecordError> {
    let person = match user {
        Some(user) => users::correspondent(conn, tenant, user).await?,
        None => None,
    };
    let zone = zone(person.as_ref().map_or("UTC", |person| &person.timezone));
    let moment = match until {
        Until::Bucket(bucket) => bucket
            .moment(zone, now)
            .ok_or(RecordError::NotOffered(bucket))?,
        Until::Wish(time) => time.resolve(zone, now),
    };
    if moment <= now || moment - now > LONGEST {
        return Err(RecordError::NotAhead);
    }
    Ok(moment)
}

/// What a person does with an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemCommand {
    Defer(Until),
    Complete,
    Dismiss,
    Reopen,
}

/// Executes the command, if the item is still in a version that the person has `seen`.
///
/// # Errors
/// Then nothing was changed.
pub async fn execute(
    pool: &PgPool,
    caller: Caller<'_>,
    id: InboxItemId,
    seen: &SeenVersions,
    command: ItemCommand,
    now: DateTime<Utc>,
) -> Result<StoredItem, RecordError> {
    let session = caller.session;
    let (tenant, user) = (session.tenant, Some(session.user));
    let mut tx = pool.begin().await?;
    let (step, action) = match command {
        ItemCommand::Defer(until) => {
            let until = moment(&mut tx, tenant, user, until, now).await?;
            (ItemStep::Defer(until), AuditAction::ItemDeferred)
        }
        ItemCommand::Complete => (ItemStep::Complete, AuditAction::ItemCompleted),
        ItemCommand::Dismiss => (ItemStep::Dismiss, AuditAction::ItemDismissed),
        ItemCommand::Reopen => (ItemStep::Reopen, AuditAction::ItemReopened),
    };
    let after = advance(&mut tx, tenant, user, id, Some(seen), step)
        .await?
        .after;
    record_history(&mut tx, tenant, &after, step.verb(), None).await?;
    let entry = session
        .audit(action, ResourceKind::InboxItem, id)
        .with_request(Some(caller.request_id))
        .with_detail(Detail::new().count("version", after.version));
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(after)
}
