//! What triage says of a mail: [`Judgement`] and the closed vocabularies it is written in.

use super::words::words;

words! {
    /// What kind of mail it is.
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
    /// What the mail asks of its owner's attention.
    Disposition {
        Ignore = "ignore",
        Notify = "notify",
        Respond = "respond",
    }
}

words! {
    /// How urgent it is; later is more urgent.
    Priority {
        Low = "low",
        Medium = "medium",
        High = "high",
        Urgent = "urgent",
    }
}

words! {
    /// By when it should be dealt with.
    #[schemars(rename = "TriageSla")]
    Sla {
        Day = "<24h",
        ThreeDays = "<72h",
        None = "none",
    }
}

words! {
    /// Who decided.
    #[schemars(rename = "TriageSource")]
    Source {
        Rule = "rule",
        Learned = "learned",
        Llm = "llm",
        /// The model was needed and gave nothing usable.
        Fallback = "fallback",
        /// Nothing had to be judged: own mail, an auto-reply, an ignored sender.
        Guard = "guard",
    }
}

words! {
    /// Whose turn it is.
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
    /// The model could not be used although it should have been.
    pub degraded: bool,
    pub thread_status: ThreadStatus,
}
