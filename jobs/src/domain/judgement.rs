//! The result of triage: [`Judgement`] and its closed vocabularies.

use base::str_enum;

str_enum! {
    /// The category of a message.
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
    /// What the message asks of its owner's attention.
    Disposition {
        Ignore = "ignore",
        Notify = "notify",
        Respond = "respond",
    }
}

str_enum! {
    /// How urgent it is; later is more urgent.
    Priority {
        Low = "low",
        Medium = "medium",
        High = "high",
        Urgent = "urgent",
    }
}

str_enum! {
    /// When it should be dealt with.
    Sla {
        Day = "<24h",
        ThreeDays = "<72h",
        None = "none",
    }
}

str_enum! {
    /// What decided.
    Source {
        Rule = "rule",
        Learned = "learned",
        Llm = "llm",
        /// The model was needed and gave no usable answer.
        Fallback = "fallback",
        /// Nothing was judged: own message, automatic reply, ignored sender.
        Guard = "guard",
    }
}

str_enum! {
    /// Whose turn it is in the thread.
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
    /// The model could not be used although it should have been.
    pub degraded: bool,
    pub thread_status: ThreadStatus,
}
