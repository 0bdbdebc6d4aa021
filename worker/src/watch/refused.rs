//! Reads emails although the server refuses to send one of them: [`list_part`] and [`read_group`]. One that it refuses again and
//! again, while it sends others, is passed over; a server that sends nothing, or asks to wait, is asked again later.

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
pub(crate) async fn serves_one(reader: &mut Reader, uids: &[u32]) -> Result<bool, ProviderError> {
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

/// Names emails beside a group that the server may send: the one that was read before it and the next few.
pub(crate) fn neighbours(last_read: u32, uids: &[u32], group: &Group) -> Vec<u32> {
    let before = (last_read > 0).then_some(last_read);
    let after = uids.partition_point(|uid| *uid <= group.last_uid);
    let after = uids[after..].iter().copied();
    before.into_iter().chain(after.take(3)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_the_last_email_that_was_read_and_the_next_three() {
        let group = Group {
            uids: vec![4, 5],
            last_uid: 6,
            ..Group::default()
        };
        let uids = [4, 5, 6, 8, 9, 10, 11];
        assert_eq!(neighbours(3, &uids, &group), [3, 8, 9, 10]);
        assert_eq!(neighbours(0, &uids[..3], &group), [0; 0]);
    }
}
