//! Recipients that the mail server refused while it accepted the email for others: [`record_refused`] writes them as a bounce
//! is written, and tells the sender.

use super::bounce::{BouncedEmail, record_failed, title};
use crate::{
    domain::{
        EffectId,
        effect::{EffectEnd, RenderedEmail},
        inbox::{ItemSource, NewItem, title_of},
        judgement::Priority,
        mail::FailedRecipient,
    },
    store::effects::bounces,
};
use queue::Job;
use serde_json::Value;
use sqlx::PgConnection;

/// Writes the refused recipients of an email that has left, in the transaction that ends its effect.
pub(super) async fn record_refused(
    conn: &mut PgConnection,
    job: &Job,
    id: EffectId,
    end: &EffectEnd,
) -> Result<(), sqlx::Error> {
    let EffectEnd::Succeeded { receipt, .. } = end else {
        return Ok(());
    };
    let failed = refused(receipt);
    if failed.is_empty() {
        return Ok(());
    }
    let Some(sent) = bounces::sent_by(conn, job.lease.tenant, id).await? else {
        return Ok(());
    };
    let subject = sent
        .rendered
        .and_then(RenderedEmail::unpack)
        .and_then(|email| email.parse())
        .map(|email| email.subject)
        .unwrap_or_default();
    let item = NewItem {
        owner: None,
        source: ItemSource::Email,
        dedupe_key: format!("refused:{id}"),
        title: title_of(&title(&subject)),
        rationale: String::new(),
        priority: Priority::High,
        message: None,
        job: None,
    };
    let bounced = BouncedEmail {
        effect: id,
        owner: sent.owner,
        // At least one was accepted: the follow-up goes on.
        recipients: Vec::new(),
        subject,
        failed,
    };
    record_failed(conn, job, &bounced, item).await
}

/// Reads the refused recipients of a mail server's receipt.
fn refused(receipt: &Value) -> Vec<FailedRecipient> {
    let listed = receipt["refused"].as_array();
    let recipient = |one: &Value| {
        Some(FailedRecipient {
            address: one["address"].as_str()?.to_owned(),
            status: one["status"].as_str().map(str::to_owned),
        })
    };
    listed.into_iter().flatten().filter_map(recipient).collect()
}
