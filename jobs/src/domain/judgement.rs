//! What triage says of a mail: [`Judgement`] and the closed vocabularies it is written in.

use super::words::words;

words! {
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

words! {
    /// How much attention an email needs.
    Disposition {
        Ignore = "ignore",
        Notify = "notify",
        Respond = "respond",
    }
}

words! {
    /// The urgency, in ascending order.
    Priority {
        Low = "low",
        Medium = "medium",
        High = "high",
        Urgent = "urgent",
    }
}

words! {
    /// By when the email should be answered.
    #[schemars(rename = "TriageSla")]
    Sla {
        Day = "<24h",
        ThreeDays = "<72h",
        None = "none",
    }
}

words! {
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

words! {
    /// Whether the user or the other side must act next.
    ThreadStatus {
        ToReply = "TO_REPLY",
        Awaiting = "AWAITING",
        Fyi = "FYI",
        Actioned = "ACTIONED",
    }
}

/// The verdict on one mail.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    pub category: Category,
    pub disposition: Disposition,
    pub priority: Priority,
    pub sla: Sla,
    /// In [0, 1].
    pub confidence: f32,
    /// For the user, a sentence or two.
    pub rationale: String,
    pub source: Source,
    /// Names of rules, the one that decided first.
    pub rules_applied: Vec<String>,
    pub injection_suspected: bool,
    /// Whether the model was needed and not available.
    pub degraded: bool,
    pub thread_status: ThreadStatus,
}
