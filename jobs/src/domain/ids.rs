//! Identifiers of the domain; those that the queue knows too are in [`base::ids`].

use base::id;

id!(/// A person of a tenant.
    UserId);
id!(/// A family of session tokens; not a secret.
    SessionId);
id!(/// An invitation to become a user.
    InviteId);
id!(/// A mail that was handed in.
    MessageId);
id!(/// A decision that waits for a person.
    ApprovalId);
id!(/// A mail that is being written for a person.
    DraftId);
id!(/// Some time of a user's day.
    BlockId);
id!(/// One thing that is remembered.
    MemoryId);
id!(/// One thing done to the outside world.
    EffectId);
id!(/// A user's account at a provider.
    ConnectionId);
id!(/// One line of the audit log.
    AuditEntryId);
id!(/// Something to be done.
    TaskId);
id!(/// What tasks are done for.
    ProjectId);
id!(/// Somebody the tenant deals with.
    ContactId);
id!(/// Something that waits for a person.
    InboxItemId);
