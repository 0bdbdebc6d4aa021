//! Emails that wait for an answer: [`start`] when one was sent, [`end_by_email`] when somebody writes in its thread, and
//! [`cancel_follow_up`] for its user. `remind` has what happens when nobody does.
//!
//! Each runs in the transaction of what it follows from, so that no crash separates an email from its follow-up.

pub mod remind;

use super::{
    drafts::supersede::{Reason, supersede},
    inbox,
};
use crate::{
    commands::audit::JobAudit,
    domain::{
        AuditAction, EffectId, FollowUpId, MessageId, NewAuditEntry, ResourceKind, Session,
        effect::RenderedEmail,
        follow_up::{FollowUpStatus, expects_answer},
        inbox::title_of,
        mail::MailFormat,
    },
    store::{
        audit, drafts,
        follow_ups::{self, Ended},
        messages::{self, NewMessage},
    },
};
use base::{JobId, TenantId};
use queue::Job;
use sqlx::{PgConnection, PgPool};

/// Why a reminder is superseded when its user wrote again.
const CONTINUED: &str = "You have written again in this thread.";

/// Follows up an email that this effect has sent, if its sender wants that, and ends the follow-ups of the thread it
/// continues. Does nothing for other effects.
pub(in crate::commands) async fn start(
    conn: &mut PgConnection,
    tenant: TenantId,
    effect: EffectId,
    entry: &(dyn Fn(AuditAction, ResourceKind, String) -> NewAuditEntry + Sync),
) -> Result<(), sqlx::Error> {
    let Some(packed) = follow_ups::sent_email(conn, tenant, effect).await? else {
        return Ok(());
    };
    let Some(email) = RenderedEmail::unpack(packed) else {
        return Ok(());
    };
    let Some(mail) = email.parse() else {
        return Ok(());
    };
    let thread = mail.refers_to();
    if !thread.is_empty() {
        follow_ups::extend_threads(conn, tenant, effect, &thread).await?;
        let ended = follow_ups::continue_thread(conn, tenant, &thread).await?;
        let reason = Reason {
            tenant,
            job: None,
            message: None,
            why: CONTINUED,
            entry,
        };
        for one in &ended {
            supersede_reminders(conn, &reason, one.message).await?;
        }
        complete_items(conn, tenant, &ended, None).await?;
        let action = AuditAction::FollowUpEnded;
        let entries: Vec<_> = ended
            .iter()
            .map(|one| entry(action, ResourceKind::FollowUp, one.id.to_string()))
            .collect();
        audit::insert(conn, &entries).await?;
    }
    let Some(wanted) = follow_ups::wanted_for_effect(conn, tenant, effect).await? else {
        return Ok(());
    };
    if !wanted.is_chosen && !expects_answer(&mail.body_text) {
        return Ok(());
    }
    // As a message, so that a draft can follow it up and its retention forgets both.
    let id = MessageId::new();
    let message = NewMessage {
        id,
        tenant,
        format: MailFormat::Rfc822,
        source: &email.bytes,
        content_hash: mail.content_hash(),
    };
    messages::insert(conn, &[message]).await?;
    let title = title_of(&mail.subject);
    follow_ups::insert(conn, tenant, (id, title.as_str(), &thread), &wanted).await
}

/// Ends the follow-ups in the thread of a stored email, with the inbox items and drafts that they led to: somebody answered, or
/// the user wrote again.
pub async fn end_by_email(
    conn: &mut PgConnection,
    job: &Job,
    message: MessageId,
) -> Result<(), sqlx::Error> {
    let ended = follow_ups::end_by_message(conn, job.lease.tenant, message).await?;
    let why = |one: &Ended| match one.status {
        FollowUpStatus::Continued => CONTINUED,
        FollowUpStatus::Waiting
        | FollowUpStatus::Reminded
        | FollowUpStatus::Answered
        | FollowUpStatus::Cancelled => "The email that it follows up has been answered.",
    };
    end(conn, job, &ended, Some(message), why).await
}

/// Ends what follow-ups that have ended led to.
async fn end(
    conn: &mut PgConnection,
    job: &Job,
    ended: &[Ended],
    message: Option<MessageId>,
    why: impl Fn(&Ended) -> &'static str,
) -> Result<(), sqlx::Error> {
    if ended.is_empty() {
        return Ok(());
    }
    let tenant = job.lease.tenant;
    for one in ended {
        let reason = Reason {
            tenant,
            job: Some(job.lease.job),
            message,
            why: why(one),
            entry: &|action, kind, id| job.audit(action, kind, id),
        };
        supersede_reminders(conn, &reason, one.message).await?;
    }
    complete_items(conn, tenant, ended, Some(job.lease.job)).await?;
    let action = AuditAction::FollowUpEnded;
    let entries: Vec<_> = ended
        .iter()
        .map(|one| job.audit(action, ResourceKind::FollowUp, one.id))
        .collect();
    audit::insert(conn, &entries).await
}

/// Ends the follow-up of an email that none of its recipients has got: nobody can answer it, and its user has an inbox item about
/// the bounce.
pub(in crate::commands) async fn end_by_bounce(
    conn: &mut PgConnection,
    job: &Job,
    effect: EffectId,
) -> Result<(), sqlx::Error> {
    let ended = follow_ups::cancel_of_effect(conn, job.lease.tenant, effect).await?;
    end(
        conn,
        job,
        &ended,
        None,
        |_| "The email that it follows up came back.",
    )
    .await
}

/// Cancels a follow-up of the session's user; false if there is none that waits.
pub async fn cancel_follow_up(
    pool: &PgPool,
    session: &Session,
    id: FollowUpId,
    request_id: &str,
) -> Result<bool, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let (tenant, user) = (session.tenant, session.user);
    let Some(ended) = follow_ups::cancel(&mut tx, tenant, user, id).await? else {
        return Ok(false);
    };
    let entry = |action, kind, id| {
        let entry = session.audit(action, kind, id);
        entry.with_request(Some(request_id))
    };
    let reason = Reason {
        tenant,
        job: None,
        message: None,
        why: "You have cancelled the follow-up.",
        entry: &entry,
    };
    supersede_reminders(&mut tx, &reason, ended.message).await?;
    complete_items(&mut tx, tenant, &[ended], None).await?;
    let cancelled = entry(
        AuditAction::FollowUpCancelled,
        ResourceKind::FollowUp,
        id.to_string(),
    );
    audit::insert(&mut tx, &[cancelled]).await?;
    tx.commit().await?;
    Ok(true)
}

/// Supersedes the drafts that were to remind of an email and were not sent.
async fn supersede_reminders(
    conn: &mut PgConnection,
    reason: &Reason<'_>,
    email: MessageId,
) -> Result<(), sqlx::Error> {
    for draft in drafts::unsent_reminders(conn, reason.tenant, email).await? {
        supersede(conn, reason, draft).await?;
    }
    Ok(())
}

/// Completes the inbox items of follow-ups that have ended. Those that a person has dealt with stay as they are.
async fn complete_items(
    conn: &mut PgConnection,
    tenant: TenantId,
    ended: &[Ended],
    job: Option<JobId>,
) -> Result<(), sqlx::Error> {
    for item in ended.iter().filter_map(|one| one.item) {
        inbox::complete(conn, tenant, item, job).await?;
    }
    Ok(())
}
