//! The result of triage: [`Judgement`] and its closed vocabularies.

mod scrub;

pub use scrub::{is_reserved_label, scrub};

use base::str_enum;

str_enum! {
    /// The category of an email.
    Category {
        NeedsResponse = "needs_response",
        NeedsApproval = "needs_approval",
        Fyi = "fyi",
        Scheduling = "scheduling",
        Task = "task",
        Newsletter = "newsletter",
        Notification = "notification",
        Cold = "cold",
        Spam = "spam",
        Unknown = "unknown",
    }
}

str_enum! {
    /// How much attention an email needs.
    Disposition {
        Ignore = "ignore",
        Notify = "notify",
        Respond = "respond",
    }
}

str_enum! {
    /// The urgency, in ascending order.
    Priority {
        Low = "low",
        Medium = "medium",
        High = "high",
        Urgent = "urgent",
    }
}

str_enum! {
    /// By when the email should be answered.
    #[schemars(rename = "TriageSla")]
    Sla {
        Day = "<24h",
        ThreeDays = "<72h",
        None = "none",
    }
}

str_enum! {
    /// What decided.
    #[schemars(rename = "TriageSource")]
    Source {
        Rule = "rule",
        Learned = "learned",
        Llm = "llm",
        /// The model was needed and returned nothing usable.
        Fallback = "fallback",
        /// No decision was needed: the user's own email, an auto-reply or an ignored sender.
        Guard = "guard",
    }
}

str_enum! {
    /// Whether the user or the other side must act next.
    ThreadStatus {
        ToReply = "TO_REPLY",
        Awaiting = "AWAITING",
        Fyi = "FYI",
        Actioned = "ACTIONED",
    }
}

/// The judgement of one message.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    pub category: Category,
    pub disposition: Disposition,
    pub priority: Priority,
    pub sla: Sla,
    /// In [0, 1].
    pub confidence: f32,
    /// One or two sentences for the user.
    pub rationale: String,
    pub source: Source,
    /// Names of rules, the deciding one first.
    pub rules_applied: Vec<String>,
    pub injection_suspected: bool,
    /// Whether the model was needed and not available.
    pub degraded: bool,
    pub thread_status: ThreadStatus,
}
