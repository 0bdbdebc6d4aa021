//! Why a record was not changed, with the message for the person: [`RecordError`].

use crate::domain::history::HistoryVerb;
use crate::{
    commands::jobs::submit_triage::SubmitError,
    domain::inbox::{Bucket, ItemState},
};

/// Nothing was changed, once the transaction is rolled back. `Display` contains no text of the user's; the
/// [message](RecordError::user_message) does.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The tenant does not have what the new state refers to.
    #[error("there is no such {}", .0.noun())]
    Unknown(Reference),
    #[error("the current version is {present}, which the caller has not seen")]
    Stale { present: i32 },
    #[error("the {0} is deleted")]
    Deleted(&'static str),
    #[error("the {0} is not deleted")]
    NotDeleted(&'static str),
    /// The title, name or address is taken.
    #[error("another {noun} has this name")]
    Taken { noun: &'static str, name: String },
    /// Several records match.
    #[error("more than one {noun} matches")]
    Ambiguous { noun: &'static str, name: String },
    #[error("an item that is {state} cannot be {verb}")]
    NotNow { state: ItemState, verb: HistoryVerb },
    #[error("{0} is not offered at this hour")]
    NotOffered(Bucket),
    #[error("the time must be in the future, within a year")]
    NotAhead,
    /// The request's key was used for another request, or the same request is still running.
    #[error(transparent)]
    Request(#[from] SubmitError),
    #[error("could not read or write the record")]
    Database(#[from] sqlx::Error),
}

/// What a record may refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    Project,
    Message,
}

impl Reference {
    const fn noun(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::Message => "email",
        }
    }
}

impl RecordError {
    /// Returns a code for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) | Self::Unknown(_) => "not_found",
            Self::Stale { .. } => "changed_meanwhile",
            Self::Deleted(_) => "deleted",
            Self::NotDeleted(_) => "not_deleted",
            Self::Taken { .. } => "name_taken",
            Self::Ambiguous { .. } => "ambiguous",
            Self::NotNow { .. } => "not_now",
            Self::NotOffered(_) => "not_offered",
            Self::NotAhead => "not_ahead",
            Self::Request(_) | Self::Database(_) => "database",
        }
    }

    /// Returns the message for the person.
    pub fn user_message(&self) -> String {
        match self {
            Self::NotFound(noun) => format!("There is no such {noun}."),
            Self::Unknown(reference) => format!("There is no such {}.", reference.noun()),
            Self::Stale { .. } => "It was changed in the meantime.".to_owned(),
            Self::Deleted(noun) => format!("The {noun} is deleted. Restore it first."),
            Self::NotDeleted(noun) => format!("The {noun} is not deleted."),
            Self::Taken { noun, name } => {
                format!("There is a {noun} called “{name}” already. Use that one, or another name.")
            }
            Self::Ambiguous { noun, name } => {
                format!("More than one {noun} is called “{name}”. Say which one, by its id.")
            }
            Self::NotNow { state, verb } => {
                format!(
                    "The item is {}; it cannot be {verb} then.",
                    state.as_str().replace('_', " ")
                )
            }
            Self::NotOffered(bucket) => format!(
                "It cannot be deferred to {} at this hour. See `defer_to` of the inbox.",
                bucket.as_str().replace('_', " ")
            ),
            Self::NotAhead => "Choose a time in the future, at most a year ahead.".to_owned(),
            Self::Request(_) | Self::Database(_) => {
                "Something went wrong on our side. Try again.".to_owned()
            }
        }
    }

    /// Maps a violation of a unique index.
    pub(crate) fn of_write(error: sqlx::Error, noun: &'static str, name: &str) -> Self {
        let unique = error
            .as_database_error()
            .is_some_and(|error| error.is_unique_violation());
        if unique {
            Self::Taken {
                noun,
                name: name.to_owned(),
            }
        } else {
            Self::Database(error)
        }
    }
}
