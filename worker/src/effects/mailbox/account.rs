//! Which mail is meant, and whose mailbox it is in.

use crate::effects::{Doing, Trouble};
use jobs::{
    domain::mail::Mail,
    store::{
        connections::{self, StoredConnection},
        messages,
    },
};
use queue::runtime::handler::JobContext;

pub(super) const NO_MAILBOX: &str = "There is no mail account with a mailbox that this mail came to. Add one with POST /v1/connections, with `imap`.";

/// What a mail is found by.
pub(super) struct Mailed {
    /// Without angle brackets.
    pub(super) message_id: String,
    /// To whom it came.
    recipients: Vec<String>,
}

/// The mail that the action is about.
pub(super) async fn mailed(ctx: &JobContext, doing: &Doing<'_>) -> Result<Mailed, Trouble> {
    let id = doing
        .message
        .ok_or_else(|| Trouble::refused("message_required", "Say with `message_id` which mail."))?;
    let gone = |message: &str| Trouble::refused("message_gone", message);
    let mut conn = ctx.pool.acquire().await?;
    let stored = messages::find(&mut conn, doing.tenant, id)
        .await?
        .ok_or_else(|| gone("This mail is not kept, or not any more."))?;
    drop(conn);
    // A mail may have many megabytes: parsing it would hold up every other job of this thread.
    let parsed =
        tokio::task::spawn_blocking(move || Mail::from_source(stored.format, &stored.source));
    let mail = parsed
        .await
        .ok()
        .and_then(Result::ok)
        .ok_or_else(|| gone("This mail cannot be read."))?;
    let delivered = mail
        .headers
        .iter()
        .filter(|(name, _)| name == "delivered-to" || name == "x-original-to")
        .map(|(_, value)| value.trim().trim_matches(['<', '>']).to_lowercase());
    let named = mail.to.iter().chain(&mail.cc);
    let recipients = delivered
        .chain(named.map(|address| address.addr.to_lowercase()))
        .collect();
    let message_id = mail
        .message_id
        .ok_or_else(|| gone("This mail has no Message-ID by which it could be found."))?;
    Ok(Mailed {
        message_id,
        recipients,
    })
}

/// The account that the mail came to: of the user who asks, or has agreed, else the one it is addressed to. A user whose
/// accounts it does not name may have got it as one of many: then it is their oldest.
pub(super) async fn account_of(
    ctx: &JobContext,
    doing: &Doing<'_>,
    mail: &Mailed,
) -> Result<StoredConnection, Trouble> {
    let mut conn = ctx.pool.acquire().await?;
    let candidates = match doing.user {
        Some(user) => connections::of_user(&mut conn, doing.tenant, user).await?,
        None => connections::of_addresses(&mut conn, doing.tenant, &mail.recipients).await?,
    };
    let has_mailbox = |found: &&StoredConnection| {
        found
            .settings
            .mail()
            .is_some_and(|mail| mail.imap.is_some())
    };
    let addressed = |found: &&StoredConnection| {
        let address = found.address.to_lowercase();
        mail.recipients.contains(&address)
    };
    let mut own = candidates.iter().filter(has_mailbox);
    let first = own.clone().next();
    own.find(addressed)
        .or(first)
        .cloned()
        .ok_or_else(|| Trouble::refused("no_mailbox", NO_MAILBOX))
}
