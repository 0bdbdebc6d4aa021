//! An email that came to several people of a tenant is judged once, and is in the inbox of each: [`add_items`] for those whose
//! mailbox is read after the triage, [`item_owners`] for those before.

use crate::{
    domain::{
        ConnectionId, InboxItemId, ResourceKind, UserId,
        history::HistoryVerb,
        inbox::{ItemSource, NewItem, title_of},
    },
    store::{
        history::{self, NewHistoryEntry},
        inbox_items,
        watches::readers,
    },
};
use base::{TenantId, hex};
use sqlx::PgConnection;

/// Returns whose inbox an email belongs into: the owner's and, if it has one, those of the others whose mailboxes have it. Those
/// whose mailbox is read from now on wait for the end of this transaction, and find its items.
pub async fn item_owners(
    conn: &mut PgConnection,
    tenant: TenantId,
    content_hash: &[u8; 32],
    (owner, sender): (Option<UserId>, &str),
) -> Result<Vec<Option<UserId>>, sqlx::Error> {
    let mut owners = vec![owner];
    if let Some(owner) = owner {
        readers::lock(conn, tenant, &[content_hash]).await?;
        let others = readers::others(conn, tenant, content_hash, (owner, sender)).await?;
        owners.extend(others.into_iter().map(Some));
    }
    Ok(owners)
}

/// An email that had a job when a mailbox with it was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct KnownEmail<'a> {
    pub(super) content_hash: &'a [u8; 32],
    /// In lower case.
    pub(super) sender: Option<&'a str>,
}

/// Adds the inbox items of emails that were judged when a colleague's mailbox was read. The caller's transaction has written that
/// this mailbox has them.
pub(super) async fn add_items(
    conn: &mut PgConnection,
    (tenant, connection): (TenantId, ConnectionId),
    emails: &[KnownEmail<'_>],
) -> Result<(), sqlx::Error> {
    if emails.is_empty() {
        return Ok(());
    }
    let hashes: Vec<&[u8]> = emails.iter().map(|it| &it.content_hash[..]).collect();
    readers::lock(conn, tenant, &hashes).await?;
    let (keys, senders): (Vec<String>, Vec<String>) = emails
        .iter()
        .map(|it| {
            (
                hex(it.content_hash),
                it.sender.unwrap_or_default().to_owned(),
            )
        })
        .unzip();
    for found in readers::colleague_items(conn, tenant, connection, (&keys, &senders)).await? {
        let item = NewItem {
            owner: Some(found.user),
            source: ItemSource::Email,
            title: title_of(&found.title),
            dedupe_key: found.dedupe_key,
            rationale: found.rationale,
            priority: found.priority,
            message: found.message,
            job: found.job,
        };
        if let Some(added) = inbox_items::insert(conn, tenant, &item).await? {
            write_history(conn, tenant, &item, added).await?;
        }
    }
    Ok(())
}

async fn write_history(
    conn: &mut PgConnection,
    tenant: TenantId,
    item: &NewItem,
    added: InboxItemId,
) -> Result<(), sqlx::Error> {
    let entry = NewHistoryEntry {
        verb: HistoryVerb::Added,
        object_kind: ResourceKind::InboxItem,
        object: added.0,
        job: item.job,
        rationale: item.title.as_str(),
    };
    history::insert_about(conn, tenant, item.owner, &entry).await
}
