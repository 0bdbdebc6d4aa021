//! Digests: [`build_digests`], a duty, puts one a day into each user's inbox who wants it, and enqueues its email.

use super::inbox;
use crate::{
    domain::{
        Actor, AuditAction, Detail, DigestId, InboxItemId, NewAuditEntry, ResourceKind,
        digest::{self, Contents, ENTRIES, NAMED},
        draft::send_at::zone,
        history::HistoryVerb,
        inbox::{ItemSource, NewItem, title_of},
        judgement::Priority,
    },
    kinds::action::{ActionExecute, Args, OnError, Work},
    store::{
        audit,
        digests::{self, DueUser},
        history::{self, NewHistoryEntry},
        inbox_items,
    },
};
use chrono::NaiveDate;
use queue::{JobKind, NewJob, enqueue, signals::notifier::Notifier};
use sqlx::{PgConnection, PgPool};

/// Builds the digests of up to `limit` users for whom it is time, and returns how many users it looked at. A day has one digest,
/// whatever becomes of workers, clocks and settings; of days that were missed, only the last has one.
///
/// # Errors
/// If the database refuses; then none was built.
pub async fn build_digests(
    pool: &PgPool,
    notifier: &Notifier,
    limit: u32,
) -> Result<u64, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let due = digests::lock_due(&mut tx, i64::from(limit)).await?;
    let (mut entries, mut is_enqueued) = (Vec::new(), false);
    for user in &due {
        let zone = zone(&user.timezone);
        let day = digest::latest(zone, user.at, user.now);
        if let Some(id) = digests::insert(&mut tx, user.tenant, user.user, day).await? {
            let item = build(&mut tx, user, id, day).await?;
            if item.is_some() && user.by_email {
                enqueue_email(&mut tx, user, id).await?;
                is_enqueued = true;
            }
            entries.push(entry(user, id, item));
        }
        let next = digest::next(zone, user.at, user.now);
        digests::set_next(&mut tx, user.tenant, user.user, next).await?;
    }
    audit::insert(&mut tx, &entries).await?;
    tx.commit().await?;
    if is_enqueued {
        notifier.job_available(ActionExecute::QUEUE);
    }
    Ok(u64::try_from(due.len()).unwrap_or(u64::MAX))
}

/// Puts the digest into the inbox; `None` if it has nothing to report.
async fn build(
    conn: &mut PgConnection,
    user: &DueUser,
    id: DigestId,
    day: NaiveDate,
) -> Result<Option<InboxItemId>, sqlx::Error> {
    let contents = contents(conn, user, id).await?;
    if contents.is_empty() {
        return Ok(None);
    }
    // The new one replaces those that their user has left open.
    for former in digests::open_digests(conn, user.tenant, user.user).await? {
        inbox::complete(conn, user.tenant, former, None).await?;
    }
    let item = NewItem {
        owner: Some(user.user),
        source: ItemSource::Digest,
        dedupe_key: day.to_string(),
        title: title_of(&digest::title(day)),
        rationale: contents.text(),
        priority: Priority::Low,
        message: None,
        job: None,
    };
    let Some(added) = inbox_items::insert(conn, user.tenant, &item).await? else {
        return Ok(None);
    };
    digests::set_item(conn, user.tenant, id, added).await?;
    let entry = NewHistoryEntry {
        verb: HistoryVerb::Added,
        object_kind: ResourceKind::InboxItem,
        object: added.0,
        job: None,
        rationale: item.title.as_str(),
    };
    history::insert_about(conn, user.tenant, item.owner, &entry).await?;
    Ok(Some(added))
}

async fn contents(
    conn: &mut PgConnection,
    user: &DueUser,
    id: DigestId,
) -> Result<Contents, sqlx::Error> {
    let (tenant, owner) = (user.tenant, user.user);
    let mut entries = digests::take_entries(conn, tenant, owner, id).await?;
    let entry_count = i64::try_from(entries.len()).unwrap_or(i64::MAX);
    entries.truncate(ENTRIES);
    let named = i64::try_from(NAMED).unwrap_or(i64::MAX);
    Ok(Contents {
        entries,
        entry_count,
        decisions: digests::decisions(conn, tenant, owner, named).await?,
        inbox: digests::open_items(conn, tenant, owner, named).await?,
        follow_ups: digests::follow_ups(conn, tenant, owner).await?,
    })
}

async fn enqueue_email(
    conn: &mut PgConnection,
    user: &DueUser,
    digest_id: DigestId,
) -> Result<(), sqlx::Error> {
    let args = Args {
        work: Work::Digest { digest_id },
        on_error: OnError::Stop,
        dry_run: false,
        trust: None,
        user: Some(user.user),
        api_key: None,
    };
    let job = NewJob::of::<ActionExecute>(user.tenant, &args)
        .map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
    // The job has no external id: the digest is inserted once, and so is its job.
    enqueue::insert(conn, &job).await
}

fn entry(user: &DueUser, id: DigestId, item: Option<InboxItemId>) -> NewAuditEntry {
    let (action, kind) = (AuditAction::DigestBuilt, ResourceKind::Digest);
    NewAuditEntry::new(user.tenant, Actor::System, action, kind, id).with_detail(
        Detail::new()
            .flag("empty", item.is_none())
            .flag("by_email", user.by_email && item.is_some()),
    )
}
