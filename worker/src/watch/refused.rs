//! Reads emails although the server refuses to send one of them: [`list_part`] and [`read_group`]. One that it refuses again and
//! again, while it sends others, is passed over; a server that sends nothing, or asks to wait, is asked again later.
//! [`prove_service`] says which of the two it is.

use super::groups::Group;
use crate::providers::{
    ProviderError,
    imap::reader::{Listed, RawEmail, Reader},
};
use jobs::domain::mail::limits::SOURCE_BYTES;

/// The code of a command that the server failed at.
pub(crate) const REFUSED: &str = "imap_refused";
/// The code of a server that asks to come back later, as one does that limits the rate.
pub(crate) const UNAVAILABLE: &str = "imap_unavailable";

/// The folder's first emails that are asked for to see whether the server sends any.
const WITNESSES: u32 = 3;

/// What was read of a group.
#[derive(Debug, Default)]
pub(crate) struct GroupRead {
    pub(crate) emails: Vec<RawEmail>,
    /// Emails that are passed over.
    pub(crate) refused: Vec<u32>,
}

/// Lists size and time of these emails. If the folder was refused before, each is asked for by itself, and one that is refused
/// again is listed as the largest, without a time: whether it can be read decides.
///
/// # Errors
/// If the connection fails, or the server refuses everything.
pub(crate) async fn list_part(
    reader: &mut Reader,
    part: &[u32],
    was_refused: bool,
) -> Result<Vec<Listed>, ProviderError> {
    let refusal = match reader.describe(part).await {
        Err(error) if was_refused && error.code() == REFUSED => error,
        listed => return listed,
    };
    let (mut listed, mut is_served) = (Vec::new(), part.len() == 1);
    for &uid in part {
        match reader.describe(&[uid]).await {
            Ok(found) => {
                is_served |= !found.is_empty();
                listed.extend(found);
            }
            Err(error) if error.code() == REFUSED => listed.push(Listed {
                uid,
                bytes: SOURCE_BYTES,
                received_at: None,
            }),
            Err(error) => return Err(error),
        }
    }
    if is_served { Ok(listed) } else { Err(refusal) }
}

/// Reads the emails of a group. If the folder was refused before, each is asked for by itself, and those that the server
/// refuses again are asked for once more. It is passed over if the server sends another email of the group, or one of the
/// neighbours, after that.
///
/// # Errors
/// If the connection fails, or the server refuses the group or asks to wait.
pub(crate) async fn read_group(
    reader: &mut Reader,
    group: &Group,
    neighbours: &[u32],
    was_refused: bool,
) -> Result<GroupRead, ProviderError> {
    if group.uids.is_empty() {
        return Ok(GroupRead::default());
    }
    let refusal = match reader.read(&group.uids, group.bytes).await {
        Err(error) if was_refused && error.code() == REFUSED => error,
        read => {
            return Ok(GroupRead {
                emails: read?,
                refused: Vec::new(),
            });
        }
    };
    let (mut emails, mut refused) = (Vec::new(), Vec::new());
    for &uid in &group.uids {
        match read_one(reader, uid).await? {
            Some(read) => emails.extend(read),
            None => refused.push(uid),
        }
    }
    let smallest = emails
        .iter()
        .min_by_key(|email: &&RawEmail| email.source.len());
    let witnesses: Vec<u32> = smallest
        .map(|email| email.uid)
        .into_iter()
        .chain(neighbours.iter().copied())
        .collect();
    let mut skipped = Vec::new();
    for uid in refused {
        if let Some(read) = read_one(reader, uid).await? {
            emails.extend(read);
            continue;
        }
        // Asked for after the refusal, not before: a server that limits the rate begins to refuse at any email, and goes on.
        if !serves_one(reader, &witnesses).await? {
            return Err(refusal);
        }
        tracing::warn!(
            uid,
            "the mail server refuses to send an email of a mailbox; it is skipped"
        );
        skipped.push(uid);
    }
    Ok(GroupRead {
        emails,
        refused: skipped,
    })
}

/// Whether the server sends one of these emails now.
///
/// # Errors
/// If the connection fails, or the server asks to wait.
async fn serves_one(reader: &mut Reader, uids: &[u32]) -> Result<bool, ProviderError> {
    for &uid in uids {
        if read_one(reader, uid)
            .await?
            .is_some_and(|read| !read.is_empty())
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads one email; `None` if the server refuses it.
async fn read_one(reader: &mut Reader, uid: u32) -> Result<Option<Vec<RawEmail>>, ProviderError> {
    match reader.read(&[uid], SOURCE_BYTES).await {
        Err(error) if error.code() == REFUSED => Ok(None),
        read => read.map(Some),
    }
}

/// Proves that the server sends emails of the open folder, before it is said that the connection breaks off because of this
/// one: a server that sends none is at fault, and not the email. Asks for the email that was read last, the folder's first and
/// the next few. A folder without another email proves nothing, and need not.
///
/// # Errors
/// If the connection fails, or the server refuses all of them.
pub(crate) async fn prove_service(
    reader: &mut Reader,
    uid: u32,
    last_read: u32,
    uids: &[u32],
) -> Result<(), ProviderError> {
    let mut others = reader.first(WITNESSES + 1).await?;
    others.extend(neighbours(last_read, uids, uid));
    others.retain(|other| *other != uid);
    others.sort_unstable();
    others.dedup();
    if others.is_empty() {
        return Ok(());
    }
    let mut witnesses = reader.describe(&others).await?;
    witnesses.retain(|email| email.bytes <= SOURCE_BYTES);
    if witnesses.is_empty() {
        return Ok(());
    }
    // The one that it has sent before, then the smallest.
    witnesses.sort_unstable_by_key(|email| (email.uid != last_read, email.bytes));
    let witnesses: Vec<u32> = witnesses.into_iter().map(|email| email.uid).collect();
    if serves_one(reader, &witnesses).await? {
        return Ok(());
    }
    Err(ProviderError::Retryable {
        code: REFUSED,
        detail: "the server sends no email of the folder".into(),
    })
}

/// Names emails beside others that the server may send: the one that was read before them and the next few.
pub(crate) fn neighbours(last_read: u32, uids: &[u32], last_uid: u32) -> Vec<u32> {
    let before = (last_read > 0).then_some(last_read);
    let after = uids.partition_point(|uid| *uid <= last_uid);
    let after = uids[after..].iter().copied();
    before.into_iter().chain(after.take(3)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_the_last_email_that_was_read_and_the_next_three() {
        let uids = [4, 5, 6, 8, 9, 10, 11];
        assert_eq!(neighbours(3, &uids, 6), [3, 8, 9, 10]);
        assert_eq!(neighbours(0, &uids[..3], 6), [0; 0]);
    }
}
