//! Reminding users of emails that nobody answered: [`remind`], a duty of one worker.

use crate::{
    domain::{
        Actor, AuditAction, Detail, InboxItemId, NewAuditEntry, ResourceKind,
        draft::{DraftMode, send_at::zone},
        follow_up::{FollowUpStatus, Reminder},
        history::HistoryVerb,
        inbox::{ItemSource, NewItem, title_of},
        judgement::Priority,
    },
    kinds::draft::{Args, DraftGenerate},
    store::{
        audit,
        follow_ups::{self, Due},
        history::{self, NewHistoryEntry},
        inbox_items,
    },
};
use queue::{
    EnqueueError, ExternalId, JobKind, NewJob, enqueue::enqueue, signals::notifier::Notifier,
};
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool};

/// Reminds the users of up to `limit` emails whose time has come, each once, and returns how many it looked at. An email that
/// was answered meanwhile ends instead; one whose reminder could not be drafted gets an inbox item.
///
/// # Errors
/// If the database refuses; then nobody was reminded.
pub async fn remind(pool: &PgPool, notifier: &Notifier, limit: u32) -> Result<u64, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let due = follow_ups::lock_due(&mut tx, i64::from(limit)).await?;
    let (mut entries, mut is_enqueued) = (Vec::new(), false);
    for one in &due {
        let (status, item) = match (one.is_answered, one.reminder) {
            (true, _) => (FollowUpStatus::Answered, None),
            (false, Reminder::Item) => (FollowUpStatus::Reminded, add_item(&mut tx, one).await?),
            (false, Reminder::Draft) => {
                let item = if enqueue_draft(&mut tx, one).await? {
                    is_enqueued = true;
                    None
                } else {
                    add_item(&mut tx, one).await?
                };
                (FollowUpStatus::Reminded, item)
            }
        };
        follow_ups::set_status(&mut tx, one.tenant, one.id, status, item).await?;
        entries.push(entry(one, status));
    }
    let undrafted = follow_ups::lock_undrafted(&mut tx, i64::from(limit)).await?;
    for one in &undrafted {
        let item = add_item(&mut tx, one).await?;
        let (tenant, status) = (one.tenant, FollowUpStatus::Reminded);
        follow_ups::set_status(&mut tx, tenant, one.id, status, item).await?;
        entries.push(entry(one, status));
    }
    audit::insert(&mut tx, &entries).await?;
    tx.commit().await?;
    if is_enqueued {
        notifier.job_available(DraftGenerate::QUEUE);
    }
    Ok(u64::try_from(due.len() + undrafted.len()).unwrap_or(u64::MAX))
}

async fn add_item(conn: &mut PgConnection, due: &Due) -> Result<Option<InboxItemId>, sqlx::Error> {
    let sent = due.sent_at.with_timezone(&zone(&due.timezone));
    let item = NewItem {
        owner: Some(due.user),
        source: ItemSource::FollowUp,
        dedupe_key: due.id.to_string(),
        title: title_of(&format!("No answer: {}", due.title)),
        rationale: format!(
            "You sent this on {}, and nobody has answered.",
            sent.format("%-d %B %Y")
        ),
        priority: Priority::Medium,
        message: Some(due.message),
        job: None,
    };
    let added = inbox_items::insert(conn, due.tenant, &item).await?;
    if let Some(added) = added {
        let entry = NewHistoryEntry {
            verb: HistoryVerb::Added,
            object_kind: ResourceKind::InboxItem,
            object: added.0,
            job: None,
            rationale: item.title.as_str(),
        };
        history::insert_about(conn, due.tenant, item.owner, &entry).await?;
    }
    Ok(added)
}

/// Returns whether a job writes the reminder; `false` if a caller has given the job's name to other work.
async fn enqueue_draft(conn: &mut PgConnection, due: &Due) -> Result<bool, sqlx::Error> {
    let args = Args {
        mode: DraftMode::FollowUp,
        user: Some(due.user),
        follow_up: Some(due.id),
        ..Args::reply(due.message)
    };
    let name = format!("{}:follow_up", due.id);
    let job = NewJob {
        external: Some(ExternalId {
            fingerprint: Sha256::digest(&name).into(),
            id: name,
        }),
        ..NewJob::of::<DraftGenerate>(due.tenant, &args)
            .map_err(|error| sqlx::Error::Encode(Box::new(error)))?
    };
    match enqueue(conn, &job).await {
        Ok(_) => Ok(true),
        // An error here would stop the reminders of all tenants.
        Err(EnqueueError::KeyReused { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn entry(due: &Due, status: FollowUpStatus) -> NewAuditEntry {
    let action = match status {
        FollowUpStatus::Reminded => AuditAction::FollowUpReminded,
        FollowUpStatus::Waiting
        | FollowUpStatus::Answered
        | FollowUpStatus::Continued
        | FollowUpStatus::Cancelled => AuditAction::FollowUpEnded,
    };
    let kind = ResourceKind::FollowUp;
    NewAuditEntry::new(due.tenant, Actor::System, action, kind, due.id)
        .with_detail(Detail::new().word("reminder", due.reminder.as_str()))
}
