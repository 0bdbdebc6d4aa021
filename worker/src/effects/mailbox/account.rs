//! Finds the email of an action and the account that received it.

use crate::{
    effects::{ActionContext, PrepareError},
    messages::{load_parsed, owner_of},
    providers::mailbox::MessageKey,
};
use jobs::{
    domain::UserId,
    store::connections::{self, StoredConnection},
};
use queue::runtime::handler::JobContext;

pub(super) const NO_MAILBOX: &str = "No connected account with a mailbox received this email. Add one with POST /v1/connections, with `imap`.";

/// Identifies an email in a mailbox.
pub(super) struct MailReference {
    pub(super) key: MessageKey,
    /// The addresses that received it.
    recipients: Vec<String>,
    /// The user whose mailbox it arrived in.
    owner: Option<UserId>,
}

/// Reads the email that the action concerns.
pub(super) async fn mail_reference(
    ctx: &JobContext,
    action: &ActionContext<'_>,
) -> Result<MailReference, PrepareError> {
    let id = action.message.ok_or_else(|| {
        PrepareError::refused(
            "message_required",
            "Give `message_id`: the email to change.",
        )
    })?;
    let parsed = load_parsed(&ctx.pool, action.tenant, id).await?;
    let (mail, content_hash) = (parsed.mail, parsed.content_hash);
    let mut conn = ctx.pool.acquire().await?;
    let owner = owner_of(&mut conn, action.tenant, &mail, &content_hash).await?;
    drop(conn);
    let delivered = mail
        .headers
        .iter()
        .filter(|(name, _)| name == "delivered-to" || name == "x-original-to")
        .map(|(_, value)| value.trim().trim_matches(['<', '>']).to_lowercase());
    let named = mail.to.iter().chain(&mail.cc);
    let recipients = delivered
        .chain(named.map(|address| address.addr.to_lowercase()))
        .collect();
    let message_id = mail.message_id.ok_or_else(|| {
        PrepareError::refused(
            "message_gone",
            "This email has no Message-ID, so it cannot be found in the mailbox.",
        )
    })?;
    Ok(MailReference {
        key: MessageKey {
            message_id,
            date: mail.date,
            is_ours: false,
        },
        recipients,
        owner,
    })
}

/// Finds the account that received the email: among those of the user in whose name the action is executed. Without a user,
/// as from an API key, among those that it is addressed to, else among those of the user whose mailbox it arrived in. If it
/// names none of these addresses, as on a mailing list, takes the oldest account.
pub(super) async fn account_of(
    ctx: &JobContext,
    action: &ActionContext<'_>,
    mail: &MailReference,
) -> Result<StoredConnection, PrepareError> {
    let mut conn = ctx.pool.acquire().await?;
    let tenant = action.tenant;
    let mut candidates = match action.user {
        Some(user) => connections::of_user(&mut conn, tenant, user).await?,
        None => connections::of_addresses(&mut conn, tenant, &mail.recipients).await?,
    };
    // A user without an account does not change a colleague's mailbox.
    if let (None, true, Some(owner)) = (action.user, candidates.is_empty(), mail.owner) {
        candidates = connections::of_user(&mut conn, tenant, owner).await?;
    }
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
        .ok_or_else(|| PrepareError::refused("no_mailbox", NO_MAILBOX))
}
