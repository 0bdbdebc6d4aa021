//! The verbs of the history that users read: [`HistoryVerb`].

use base::str_enum;

str_enum! {
    /// What happened, in the past tense.
    HistoryVerb {
        Abandoned = "abandoned",
        Accepted = "accepted",
        Added = "added",
        Approved = "approved",
        Booked = "booked",
        /// An email that was sent came back.
        Bounced = "bounced",
        Cancelled = "cancelled",
        Changed = "changed",
        Completed = "completed",
        Converted = "converted",
        Created = "created",
        Deferred = "deferred",
        Deleted = "deleted",
        Discarded = "discarded",
        Dismissed = "dismissed",
        Displaced = "displaced",
        Done = "done",
        Drafted = "drafted",
        Edited = "edited",
        Evicted = "evicted",
        Executed = "executed",
        Expired = "expired",
        Failed = "failed",
        FoundDone = "found_done",
        FoundNotDone = "found_not_done",
        /// The provider could not tell; a person must resolve the effect.
        NeedsResolution = "needs_resolution",
        NotSent = "not_sent",
        NotUndone = "not_undone",
        Notified = "notified",
        Pinned = "pinned",
        Proposed = "proposed",
        Rejected = "rejected",
        Reopened = "reopened",
        Restored = "restored",
        RevisionRequested = "revision_requested",
        Revised = "revised",
        Revoked = "revoked",
        Sent = "sent",
        Stored = "stored",
        Superseded = "superseded",
        Triaged = "triaged",
        UndoRequested = "undo_requested",
        Undone = "undone",
        /// It is unknown whether the effect happened or the draft was sent.
        Unknown = "unknown",
        Unpinned = "unpinned",
        Updated = "updated",
    }
}
