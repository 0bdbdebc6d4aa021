//! What audit and history entries are about: [`ResourceKind`].

use base::str_enum;

str_enum! {
    /// The kind of a resource that an audit or history entry is about.
    ResourceKind {
        Action = "action",
        ApiKey = "api_key",
        InboxItem = "inbox_item",
        Approval = "approval",
        Connection = "connection",
        Contact = "contact",
        CredentialKey = "credential_key",
        Digest = "digest",
        Draft = "draft",
        Effect = "effect",
        FollowUp = "follow_up",
        Invite = "invite",
        Job = "job",
        Limit = "limit",
        LlmCall = "llm_call",
        Memory = "memory",
        Message = "message",
        Operation = "operation",
        Project = "project",
        Queue = "queue",
        RuleSet = "rule_set",
        Block = "block",
        Session = "session",
        Task = "task",
        Tenant = "tenant",
        User = "user",
    }
}
