//! Watched mailboxes: which folders ([`FolderName`]), how far they were read ([`Cursor`]) and when a failed check is tried
//! again ([`backoff`]).

use base::str_enum;
use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The folder of sent mail, whatever its name on the server.
pub const SENT: &str = "\\Sent";

/// The most folders of one account.
pub const MAX_FOLDERS: usize = 200;

/// A folder as the user names it, with `/` between its parts, or `\Sent`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct FolderName(#[schemars(length(min = 1, max = 200))] String);

impl FolderName {
    /// Returns `None` for a text that names no folder.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=200).contains(&text.chars().count());
        let plain = !text.contains(|c: char| c.is_control() || "*%\"\\".contains(c));
        let is_padded = text.trim() != text;
        (fits && !is_padded && (plain || text == SENT)).then(|| {
            if text.eq_ignore_ascii_case("inbox") {
                Self("INBOX".to_owned())
            } else {
                Self(text.to_owned())
            }
        })
    }

    /// Returns a name that was checked before it was stored.
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_sent(&self) -> bool {
        self.0 == SENT
    }
}

/// When a server received the emails that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Period {
    pub since: DateTime<Utc>,
    /// Not included; none means that there is no end.
    pub until: Option<DateTime<Utc>>,
}

/// How much a mail server's clock may be behind ours: an email that arrives right after its mailbox is watched counts.
const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(5);

impl Period {
    /// Whether an email counts; one without a time does.
    pub fn contains(&self, received_at: Option<DateTime<Utc>>) -> bool {
        received_at.is_none_or(|received| {
            let is_after = received
                .checked_add_signed(CLOCK_SKEW)
                .is_none_or(|received| received >= self.since);
            is_after && self.until.is_none_or(|until| received < until)
        })
    }
}

/// How far a folder was read: all UIDs up to `last_uid`, under this UIDVALIDITY.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// None before the first check.
    pub uid_validity: Option<u32>,
    pub last_uid: u32,
}

/// The state of a folder on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FolderState {
    /// 0 if the server has none: then its UIDs hold for one session, and everything is compared by content.
    pub uid_validity: u32,
    pub uid_next: Option<u32>,
}

/// What a check has to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    Nothing,
    /// The emails with a greater UID.
    After(u32),
    /// The whole folder: its UIDs have lost their meaning.
    All,
}

impl Cursor {
    /// Compares the cursor with the state of the folder. A folder whose UIDs have lost their meaning is read from its start; by
    /// its content an email that is read again gets no second job.
    pub fn unread(&self, state: &FolderState) -> Unread {
        if self.uid_validity != Some(state.uid_validity) || state.uid_validity == 0 {
            return Unread::All;
        }
        match state.uid_next {
            // Of a restored backup or a folder that was created again, some servers keep the UIDVALIDITY. They give new email
            // the UIDs that were read before.
            Some(next) if next <= self.last_uid => Unread::All,
            Some(next) if next == self.last_uid.saturating_add(1) => Unread::Nothing,
            Some(_) | None => Unread::After(self.last_uid),
        }
    }
}

/// An email at which the connection broke off, perhaps because of the email: its server is slow at it, or sends what nobody can
/// read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokenRead {
    /// The first email that had been asked for.
    pub uid: u32,
    /// How often that happened in a row.
    pub tries: i32,
}

impl BrokenRead {
    /// After so many tries emails are read one by one, so that the one at fault is found.
    const ALONE: i32 = 3;
    /// After so many tries, half of them alone and each right after the server sent another email, an email is passed over.
    const PASSED_OVER: i32 = 6;

    /// Counts a connection that broke off at this email.
    pub fn at(uid: u32, previous: Option<Self>) -> Self {
        let tries = match previous {
            Some(previous) if previous.uid == uid => previous.tries.saturating_add(1),
            // It was one of those that were read together.
            Some(previous) if previous.is_read_alone() => Self::ALONE,
            Some(_) | None => 1,
        };
        Self { uid, tries }
    }

    pub const fn is_read_alone(&self) -> bool {
        self.tries >= Self::ALONE
    }

    pub const fn passes_over(&self, uid: u32) -> bool {
        self.uid == uid && self.tries >= Self::PASSED_OVER
    }
}

str_enum! {
    /// Whether a mailbox is watched at present.
    #[schemars(rename = "WatchStatus")]
    WatchStatus {
        /// No worker has checked it yet, or none does at present.
        Pending = "pending",
        Watching = "watching",
        /// The last check failed; it is tried again.
        Failing = "failing",
        /// The account rejects its password.
        ReauthRequired = "reauth_required",
    }
}

/// The wait after so many failed checks in a row: 5 s, doubled with each, at most 15 minutes.
pub fn backoff(failures: i32) -> TimeDelta {
    let doublings = u32::try_from(failures.clamp(1, 9) - 1).unwrap_or(0);
    TimeDelta::seconds((5_i64 << doublings).min(900))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_name_is_checked_and_the_inbox_has_one_name() {
        for (text, name) in [
            ("inbox", Some("INBOX")),
            ("Clients/Müller", Some("Clients/Müller")),
            ("\\Sent", Some("\\Sent")),
            ("\\Seen", None),
            ("", None),
            (" INBOX", None),
            ("a*", None),
            ("a\"b", None),
            ("a\r\nb", None),
        ] {
            let parsed = FolderName::parse(text);
            assert_eq!(parsed.as_ref().map(FolderName::as_str), name, "{text:?}");
        }
    }

    #[test]
    fn folder_is_read_from_its_cursor_or_from_the_start_if_its_uids_changed() {
        let cursor = Cursor {
            uid_validity: Some(7),
            last_uid: 4,
        };
        let state = |uid_validity, uid_next| FolderState {
            uid_validity,
            uid_next,
        };
        assert_eq!(cursor.unread(&state(7, Some(5))), Unread::Nothing);
        assert_eq!(cursor.unread(&state(7, Some(6))), Unread::After(4));
        assert_eq!(cursor.unread(&state(7, None)), Unread::After(4));
        assert_eq!(cursor.unread(&state(8, Some(5))), Unread::All);
        assert_eq!(cursor.unread(&state(7, Some(4))), Unread::All);
        assert_eq!(cursor.unread(&state(7, Some(1))), Unread::All);
        let no_uids = Cursor {
            uid_validity: Some(0),
            ..cursor
        };
        assert_eq!(no_uids.unread(&state(0, Some(5))), Unread::All);
        assert_eq!(Cursor::default().unread(&state(7, Some(1))), Unread::All);
    }

    #[test]
    fn email_at_which_the_connection_breaks_is_read_alone_and_passed_over_in_the_end() {
        let mut broken = None;
        let mut again = |uid| {
            let now = BrokenRead::at(uid, broken);
            broken = Some(now);
            (now.tries, now.is_read_alone(), now.passes_over(uid))
        };
        assert_eq!(again(4), (1, false, false));
        assert_eq!(
            again(9),
            (1, false, false),
            "the first ones were read since"
        );
        assert_eq!(again(9), (2, false, false));
        assert_eq!(again(9), (3, true, false));
        // Of the emails from 9 on, it is 12.
        assert_eq!(again(12), (3, true, false));
        assert_eq!(again(12), (4, true, false));
        assert_eq!(again(12), (5, true, false));
        assert_eq!(again(12), (6, true, true));
        assert!(!BrokenRead::at(12, broken).passes_over(13));
    }

    #[test]
    fn period_has_a_lenient_start_and_a_strict_end() {
        let at = |text: &str| Some(text.parse::<DateTime<Utc>>().unwrap());
        let period = Period {
            since: "2026-11-28T12:00:00Z".parse().unwrap(),
            until: at("2026-11-29T12:00:00Z"),
        };
        for (received_at, counts) in [
            (at("2026-11-28T11:54:59Z"), false),
            (at("2026-11-28T11:56:00Z"), true),
            (at("2026-11-29T11:59:59Z"), true),
            (at("2026-11-29T12:00:00Z"), false),
            (None, true),
        ] {
            assert_eq!(period.contains(received_at), counts, "{received_at:?}");
        }
    }

    #[test]
    fn wait_grows_with_failures_and_has_an_end() {
        let seconds = |failures| backoff(failures).num_seconds();
        assert_eq!(
            [1, 2, 3, 8, 9, 100].map(seconds),
            [5, 10, 20, 640, 900, 900]
        );
    }
}
