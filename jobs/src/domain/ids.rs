//! Identifiers: one newtype per thing, so that a user's id cannot be passed for a tenant's. All are UUIDv7, made by us.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, sqlx::Type)]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id; ids made later sort later.
            #[expect(clippy::new_without_default, reason = "a default id would be a different one each time")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(s: &str) -> Result<Self, Self::Err> {
                s.parse().map(Self)
            }
        }
    };
}

id!(/// Id of a tenant.
    TenantId);
id!(/// Id of a user.
    UserId);
id!(/// Id of a job.
    JobId);
id!(/// Id of a session; not a secret.
    SessionId);
id!(/// Id of an invite.
    InviteId);
id!(/// Id of an email.
    MessageId);
id!(/// Id of an approval.
    ApprovalId);
id!(/// Id of a draft.
    DraftId);
id!(/// Some time of a user's day.
    BlockId);
id!(/// Id of a memory item.
    MemoryId);
id!(/// Id of an effect.
    EffectId);
id!(/// Id of a connection.
    ConnectionId);
id!(/// Id of a worker process.
    WorkerId);
id!(/// Id of an audit entry.
    AuditEntryId);
id!(/// Id of a task.
    TaskId);
id!(/// Id of a project.
    ProjectId);
id!(/// Id of a contact.
    ContactId);
id!(/// Something that waits for a person.
    ActionItemId);
