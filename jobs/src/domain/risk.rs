//! What an action can cost: [`Risk`].

use base::str_enum;

str_enum! {
    /// What an action can cost; later is worse.
    Risk {
        /// Reversible, inside the mailbox.
        Low = "low",
        Medium = "medium",
        /// Reaches others or destroys.
        High = "high",
        /// Always needs a person, whatever the trust.
        Critical = "critical",
    }
}
