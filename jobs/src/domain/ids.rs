//! Identifiers of the domain; those that the queue knows too are in [`base::ids`].

use base::id;

id!(/// Id of a user.
    UserId);
id!(/// Id of a session; not a secret.
    SessionId);
id!(/// Id of an invite.
    InviteId);
id!(/// Id of an API key; not a secret.
    ApiKeyId);
id!(/// Id of an email.
    MessageId);
id!(/// Id of an approval.
    ApprovalId);
id!(/// Id of a draft.
    DraftId);
id!(/// Id of a block.
    BlockId);
id!(/// Id of a memory item.
    MemoryId);
id!(/// Id of an effect.
    EffectId);
id!(/// Id of a connection.
    ConnectionId);
id!(/// Id of an audit entry.
    AuditEntryId);
id!(/// Id of a task.
    TaskId);
id!(/// Id of a project.
    ProjectId);
id!(/// Id of a contact.
    ContactId);
id!(/// Id of a follow-up.
    FollowUpId);
id!(/// Id of a digest.
    DigestId);
id!(/// Id of an email in a digest.
    DigestEntryId);
id!(/// Id of an inbox item.
    InboxItemId);
