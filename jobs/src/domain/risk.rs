//! What an action can cost: [`Risk`].

use base::str_enum;

str_enum! {
    /// The damage that an action can do, in ascending order.
    #[schemars(rename = "ActionRisk")]
    Risk {
        /// Reversible and inside the mailbox.
        Low = "low",
        Medium = "medium",
        /// External or destructive.
        High = "high",
        /// Never without an approval, in any trust mode.
        Critical = "critical",
    }
}
