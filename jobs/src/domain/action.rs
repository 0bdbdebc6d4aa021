//! Actions: what can be done about a message ([`ActionType`]), what holds for each type ([`ActionSpec`]) and what each needs
//! ([`Params`]). Executes nothing.

mod field;
mod params;
mod spec;
mod types;

pub use field::{Field, FieldKind};
pub use params::{ParamFault, Params};
pub use spec::{
    ActionSpec, Executor, InboxChange, MailboxChange, MessageSource, OpenTo, TaskChange,
};
pub use types::ActionType;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// sha256 over RFC 8785 canonical JSON: equal values hash alike, whatever the order of their keys.
pub fn canonical_sha256(value: &Value) -> [u8; 32] {
    let canonical =
        serde_json_canonicalizer::to_vec(value).expect("a JSON value has a canonical form");
    Sha256::digest(canonical).into()
}
