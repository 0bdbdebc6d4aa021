//! Which emails are read together: [`groups`], pure. Small emails share a command and a transaction, large ones do not share
//! memory.

use crate::providers::imap::reader::Listed;
use jobs::domain::{mail::limits::SOURCE_BYTES, watch::Period};

/// The most emails and bytes of one group; a larger email is a group of its own.
const MAX_EMAILS: usize = 50;
const MAX_BYTES: usize = 2 << 20;

/// Emails that are read with one command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) uids: Vec<u32>,
    pub(crate) bytes: usize,
    /// The cursor after this group: also past what is not read.
    pub(crate) last_uid: u32,
    /// Emails that are too large to be read.
    pub(crate) too_large: Vec<Listed>,
}

/// Divides emails, ordered by UID, into groups. Leaves out those of another period and those that are too large.
pub(crate) fn groups(listed: &[Listed], period: &Period) -> Vec<Group> {
    let mut groups = Vec::new();
    let mut group = Group::default();
    for email in listed {
        let is_other = !period.contains(email.received_at);
        let is_too_large = email.bytes > SOURCE_BYTES;
        let is_read = !is_other && !is_too_large;
        let is_full = group.uids.len() >= MAX_EMAILS || group.bytes + email.bytes > MAX_BYTES;
        if is_read && is_full && !group.uids.is_empty() {
            groups.push(std::mem::take(&mut group));
        }
        if is_read {
            group.uids.push(email.uid);
            group.bytes += email.bytes;
        } else if is_too_large && !is_other {
            group.too_large.push(*email);
        }
        group.last_uid = email.uid;
    }
    if group != Group::default() {
        groups.push(group);
    }
    groups
}

impl Group {
    /// Keeps the first so many emails.
    pub(crate) fn truncate(&mut self, emails: usize) {
        if emails < self.uids.len() {
            self.uids.truncate(emails);
            self.last_uid = self.uids.last().copied().unwrap_or(self.last_uid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, TimeDelta, Utc};

    fn period(since: DateTime<Utc>) -> Period {
        Period { since, until: None }
    }

    fn listed(uid: u32, bytes: usize, received_at: DateTime<Utc>) -> Listed {
        Listed {
            uid,
            bytes,
            received_at: Some(received_at),
        }
    }

    #[test]
    fn emails_share_a_group_up_to_its_size_and_old_ones_are_passed_over() {
        let since: DateTime<Utc> = "2026-11-28T12:00:00Z".parse().unwrap();
        let before = since - TimeDelta::hours(1);
        let emails = [
            listed(1, 100, before),
            listed(2, 100, since),
            listed(3, 200, since - TimeDelta::minutes(1)),
            listed(4, MAX_BYTES, since),
            listed(6, SOURCE_BYTES + 1, since),
            listed(7, 300, since),
            listed(9, 100, before),
        ];
        let group = |uids: &[u32], bytes, last_uid, too_large: &[Listed]| Group {
            uids: uids.to_vec(),
            bytes,
            last_uid,
            too_large: too_large.to_vec(),
        };
        assert_eq!(
            groups(&emails, &period(since)),
            [
                group(&[2, 3], 300, 3, &[]),
                group(&[4], MAX_BYTES, 6, &emails[4..5]),
                group(&[7], 300, 9, &[]),
            ]
        );
        assert_eq!(groups(&[], &period(since)), []);
        assert_eq!(
            groups(&emails[..1], &period(since)),
            [group(&[], 0, 1, &[])]
        );
    }

    #[test]
    fn group_has_a_number_of_emails_too() {
        let since = DateTime::UNIX_EPOCH;
        let emails: Vec<Listed> = (1..=120).map(|uid| listed(uid, 10, since)).collect();
        let sizes: Vec<usize> = groups(&emails, &period(since))
            .iter()
            .map(|group| group.uids.len())
            .collect();
        assert_eq!(sizes, [50, 50, 20]);
        let mut first = groups(&emails, &period(since)).remove(0);
        first.truncate(7);
        assert_eq!((first.uids.len(), first.last_uid), (7, 7));
    }
}
