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

id!(/// One customer; every row of theirs carries it.
    TenantId);
id!(/// A person of a tenant.
    UserId);
id!(/// One piece of queued work.
    JobId);
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
id!(/// One worker process, from its start to its end.
    WorkerId);
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
