//! Finds an email in a folder: by its Message-ID, and on servers whose search does not know the id, among those of its day.

use super::{names, outcomes::read, responses, session::Session};
use crate::providers::{
    ProviderError,
    mailbox::{MessageKey, MessageLocation},
};
use chrono::{DateTime, TimeDelta, Utc};
use jobs::domain::mail::{Mail, OWN_ID, message_id_in};

/// Limit of emails whose Message-ID is compared, the newest first, if a search finds more than the one.
const MAX_CANDIDATES: usize = 500;

impl Session {
    /// Finds the newest email that the server finds by this Message-ID.
    pub(super) async fn find_by_id(
        &mut self,
        key: &MessageKey,
        folder: &str,
    ) -> Result<Option<MessageLocation>, ProviderError> {
        match names::by_message_id(&key.message_id) {
            Some(search) => self.find_newest(key, folder, &search).await,
            None => Ok(None),
        }
    }

    /// Finds the newest email with this Message-ID among those of its day.
    pub(super) async fn find_by_date(
        &mut self,
        key: &MessageKey,
        folder: &str,
    ) -> Result<Option<MessageLocation>, ProviderError> {
        match key.date.and_then(around) {
            Some(search) => self.find_newest(key, folder, &search).await,
            None => Ok(None),
        }
    }

    async fn find_newest(
        &mut self,
        key: &MessageKey,
        folder: &str,
        search: &str,
    ) -> Result<Option<MessageLocation>, ProviderError> {
        // Selects again, because a server need not report new emails in a selected folder.
        self.selected = None;
        if !self.select(folder, false).await? {
            return Ok(None);
        }
        let query = format!("UNDELETED {search}");
        let found = read(responses::search(&mut self.inner, &query)).await?;
        let uid_validity = self
            .selected
            .as_ref()
            .map_or(0, |selected| selected.uid_validity);
        let newest = self.newest_with(key, found).await?;
        Ok(newest.map(|uid| MessageLocation {
            folder: folder.to_owned(),
            uid_validity,
            uid,
        }))
    }

    /// Returns the newest of these emails that has exactly this Message-ID; of an email of ours, in either field.
    async fn newest_with(
        &mut self,
        key: &MessageKey,
        found: impl IntoIterator<Item = u32>,
    ) -> Result<Option<u32>, ProviderError> {
        let mut candidates: Vec<u32> = found.into_iter().collect();
        candidates.sort_unstable_by(|a, b| b.cmp(a));
        candidates.truncate(MAX_CANDIDATES);
        if candidates.is_empty() {
            return Ok(None);
        }
        let query = format!("(UID BODY.PEEK[HEADER.FIELDS (MESSAGE-ID {OWN_ID})])");
        let fetched = read(responses::fetch(&mut self.inner, &candidates, &query)).await?;
        // Read by the code that read the id of the stored email, so that both are in the same form.
        let id = message_id_in(format!("Message-ID: {}\n\n", key.message_id).as_bytes());
        let Some(id) = id else {
            return Ok(None);
        };
        let own_id = key.is_ours.then(|| format!("<{id}>"));
        let is_same = |header: &[u8]| {
            Mail::parse(header).is_ok_and(|mail| {
                mail.message_id.as_ref() == Some(&id)
                    || (own_id.is_some() && mail.own_id() == own_id)
            })
        };
        let same = fetched
            .iter()
            .filter(|mail| mail.header.as_deref().is_some_and(is_same));
        Ok(same.filter_map(|mail| mail.uid).max())
    }
}

/// Returns a search key for the day of a date. Servers compare the day that the header names, in whatever time zone.
fn around(date: DateTime<Utc>) -> Option<String> {
    let day = |days| {
        let day = date.checked_add_signed(TimeDelta::days(days))?;
        Some(day.format("%-d-%b-%Y").to_string())
    };
    Some(format!("SENTSINCE {} SENTBEFORE {}", day(-1)?, day(2)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn day_is_searched_for_with_its_neighbours() {
        let date: DateTime<Utc> = "2026-11-01T23:30:00Z".parse().unwrap();
        let expected = "SENTSINCE 31-Oct-2026 SENTBEFORE 3-Nov-2026";
        assert_eq!(around(date).as_deref(), Some(expected));
        assert_eq!(around(DateTime::<Utc>::MAX_UTC), None);
    }
}
