//! Bounces of emails that we sent: [`record_bounce`] writes them to the effect and tells the sender.

use super::record_history;
use crate::{
    commands::audit::JobAudit,
    commands::follow_ups::end_by_bounce,
    domain::{
        AuditAction, Detail, EffectId, MessageId, ResourceKind, UserId, effect::EffectStep,
        history::HistoryVerb, inbox::NewItem, judgement::Priority, mail::FailedRecipient,
    },
    store::{
        audit,
        effects::{self, bounces},
        history::{self, NewHistoryEntry},
        inbox_items,
    },
};
use queue::Job;
use serde_json::{Value, json};
use sqlx::PgConnection;

/// Recipients that the inbox item names.
const NAMED: usize = 5;

/// A bounce, and the email of ours that it is about.
#[derive(Clone)]
pub struct BouncedEmail {
    pub effect: EffectId,
    /// The user whose account the email left from.
    pub owner: UserId,
    /// All recipients; empty if the email was forgotten.
    pub recipients: Vec<String>,
    /// The email's own subject.
    pub subject: String,
    /// Empty if the bounce does not name them.
    pub failed: Vec<FailedRecipient>,
}

/// The bounce as a stored message.
#[derive(Clone, Copy, Debug)]
pub struct StoredBounce<'a> {
    pub message: MessageId,
    pub content_hash: &'a [u8; 32],
}

/// Writes the bounce in the transaction that settles the job; see [`record_failed`]. A copy of the bounce does not add
/// another inbox item.
pub async fn record_bounce(
    conn: &mut PgConnection,
    job: &Job,
    stored: StoredBounce<'_>,
    bounced: &BouncedEmail,
) -> Result<(), sqlx::Error> {
    let item = NewItem::of_mail(
        &title(&bounced.subject),
        stored.content_hash,
        stored.message,
    );
    record_failed(conn, job, bounced, item).await
}

/// Writes which recipients do not get the email: effect, history, inbox, audit. `item` is the inbox item without its text
/// and its owner. Writes nothing if nothing of it is new, or if the effect is in a state in which it was not sent.
pub(super) async fn record_failed(
    conn: &mut PgConnection,
    job: &Job,
    bounced: &BouncedEmail,
    item: NewItem,
) -> Result<(), sqlx::Error> {
    let tenant = job.lease.tenant;
    let Some(found) = effects::lock(conn, tenant, bounced.effect).await? else {
        return Ok(());
    };
    let Ok(status) = found.status.after(EffectStep::Bounce) else {
        return Ok(());
    };
    let (receipt, new) = with_bounced(found.receipt, &bounced.failed);
    if status == found.status && new == 0 {
        return Ok(());
    }
    bounces::set_bounced(conn, tenant, bounced.effect, (status, &receipt)).await?;
    if reached_nobody(&receipt, &bounced.recipients) {
        end_by_bounce(conn, job, bounced.effect).await?;
    }
    let effect = (bounced.effect, found.kind.as_str());
    record_history(conn, tenant, HistoryVerb::Bounced, effect, job.lease.job).await?;
    let mut detail = Detail::new().count("recipients", i64::try_from(new).unwrap_or(i64::MAX));
    if let Some(message) = item.message {
        detail = detail.id("message", message.0);
    }
    let (action, kind) = (AuditAction::EffectBounced, ResourceKind::Effect);
    let mut entries = vec![
        job.audit(action, kind, bounced.effect)
            .with_detail(detail)
            .failed("bounced"),
    ];
    let item = NewItem {
        owner: Some(bounced.owner),
        rationale: rationale(&bounced.failed),
        priority: Priority::High,
        ..item
    };
    if let Some(added) = inbox_items::insert(conn, tenant, &item).await? {
        let entry = NewHistoryEntry {
            verb: HistoryVerb::Added,
            object_kind: ResourceKind::InboxItem,
            object: added.0,
            job: Some(job.lease.job),
            rationale: item.title.as_str(),
        };
        history::insert_about(conn, tenant, item.owner, &entry).await?;
        entries.push(job.audit(AuditAction::ItemCreated, ResourceKind::InboxItem, added));
    }
    audit::insert(conn, &entries).await
}

/// Adds the recipients to the receipt, each once; returns how many are new.
fn with_bounced(receipt: Option<Value>, failed: &[FailedRecipient]) -> (Value, usize) {
    let mut receipt = match receipt {
        Some(Value::Object(fields)) => fields,
        Some(_) | None => serde_json::Map::new(),
    };
    let mut known = match receipt.remove("bounced") {
        Some(Value::Array(known)) => known,
        Some(_) | None => Vec::new(),
    };
    let before = known.len();
    for recipient in failed {
        let address = json!(recipient.address);
        if known.iter().all(|one| one["address"] != address) {
            known.push(json!({
                "address": address, "status": recipient.status, "reason": recipient.reason(),
            }));
        }
    }
    let new = known.len() - before;
    receipt.insert("bounced".into(), known.into());
    (receipt.into(), new)
}

/// Whether all recipients are among those of the receipt whose email came back, or there is only one: then a bounce need not
/// name it.
fn reached_nobody(receipt: &Value, recipients: &[String]) -> bool {
    let known = receipt["bounced"].as_array();
    let bounced = |recipient: &String| {
        known.into_iter().flatten().any(|one| {
            let address = one["address"].as_str().unwrap_or_default();
            address.eq_ignore_ascii_case(recipient)
        })
    };
    recipients.len() == 1 || (!recipients.is_empty() && recipients.iter().all(bounced))
}

/// Returns the title of the inbox item.
pub(super) fn title(subject: &str) -> String {
    format!("Not delivered: {subject}")
}

/// Returns the text of the inbox item.
fn rationale(failed: &[FailedRecipient]) -> String {
    let mut lines: Vec<String> = failed
        .iter()
        .take(NAMED)
        .map(|recipient| match &recipient.status {
            Some(code) => format!("{}: {} ({code})", recipient.address, recipient.reason()),
            None => format!("{}: {}", recipient.address, recipient.reason()),
        })
        .collect();
    match failed.len() {
        0 => lines.push("The receiving server did not accept this email.".into()),
        count if count > NAMED => lines.push(format!("And {} more.", count - NAMED)),
        _ => {}
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipient_is_added_to_the_receipt_once() {
        let gone = FailedRecipient {
            address: "gone@x.example".into(),
            status: Some("5.1.1".into()),
        };
        let sent = json!({"response": "250 ok"});
        let (receipt, new) = with_bounced(Some(sent), std::slice::from_ref(&gone));
        assert_eq!((&receipt["response"], new), (&json!("250 ok"), 1));
        assert_eq!(receipt["bounced"][0]["reason"], gone.reason());
        let again = with_bounced(Some(receipt.clone()), &[gone]);
        assert_eq!(again, (receipt, 0));
    }
}
