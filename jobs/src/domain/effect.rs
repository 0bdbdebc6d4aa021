//! Effects on the outside world, each once: its key ([`effect_key`]), the Message-ID of a message ([`message_id`]) and
//! the states of its row ([`EffectStatus`]).
//!
//! A row begins with the intent. Actions that are denied, that wait for approval or that are only simulated have no
//! row, so none of them takes a key from the real run.

mod rendered;
mod status;

pub use rendered::RenderedEmail;
pub use status::{EffectRefused, EffectStatus, EffectStep};

use super::{
    ApprovalId, ConnectionId, MessageId,
    action::{ActionType, canonical_sha256},
};
use base::{TenantId, hex, str_enum};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

str_enum! {
    /// What happens to an email that may have been sent when the provider cannot tell.
    UnknownSends {
        /// A person decides.
        Ask = "ask",
        /// It is sent again once, after a minute and with the same Message-ID; some providers deliver both.
        Resend = "resend",
    }
}

/// Distinguishes effects of one type on one target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Identity<'a> {
    /// The payload, as our code resolved it.
    Payload(&'a Value),
    /// The caller's own name for it.
    External(&'a str),
}

/// Returns the key of an effect. `target` is what our code has resolved, never a model's text.
pub fn effect_key(
    tenant: TenantId,
    action: ActionType,
    target: &str,
    identity: Identity<'_>,
) -> [u8; 32] {
    let identity = match identity {
        Identity::Payload(payload) => json!({ "payload": payload }),
        Identity::External(id) => json!({ "external_id": id }),
    };
    canonical_sha256(&json!([tenant, action, target, identity]))
}

/// Returns the Message-ID of the message that this effect sends, however often it is tried.
pub fn message_id(tenant: TenantId, key: &[u8; 32], domain: &str) -> String {
    let hash = Sha256::new()
        .chain_update(tenant.0)
        .chain_update(key)
        .finalize();
    format!("<{}@{domain}>", hex(&hash[..16]))
}

/// An effect to be inserted before it is tried.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEffect {
    pub key: [u8; 32],
    pub kind: ActionType,
    /// The message that it is about.
    pub message: Option<MessageId>,
    /// sha256 over what is to be done, whatever the key was made of.
    pub payload_hash: [u8; 32],
    /// By which it is done, if it is external.
    pub connection: Option<ConnectionId>,
    pub rendered: Option<Vec<u8>>,
    /// The RFC 5322 Message-ID of the message that it sends.
    pub message_id: Option<String>,
    pub approval: Option<ApprovalId>,
}

/// How an attempt at the effect ended.
#[derive(Clone, Debug, PartialEq)]
pub enum EffectEnd {
    Succeeded {
        receipt: Value,
        before_image: Option<Value>,
    },
    /// Refused for good.
    FailedPermanent { code: &'static str },
    /// Certainly did not happen, and may be tried again.
    Retryable { code: &'static str },
    /// May have happened: it is not tried again before that is known.
    Unknown { code: &'static str },
}

impl EffectEnd {
    pub const fn step(&self) -> EffectStep {
        match self {
            Self::Succeeded { .. } => EffectStep::Succeed,
            Self::FailedPermanent { .. } => EffectStep::FailForGood,
            Self::Retryable { .. } => EffectStep::FailForNow,
            Self::Unknown { .. } => EffectStep::Lose,
        }
    }

    pub const fn code(&self) -> Option<&'static str> {
        match self {
            Self::Succeeded { .. } => None,
            Self::FailedPermanent { code } | Self::Retryable { code } | Self::Unknown { code } => {
                Some(code)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_what_is_done_is_part_of_its_name() {
        let (tenant, other) = (TenantId::new(), TenantId::new());
        let (pay, call) = (json!({"title": "Pay"}), json!({"title": "Call"}));
        let (word, again) = (json!("Pay"), json!({"title": "Pay"}));
        let of = |tenant, action, target, identity| effect_key(tenant, action, target, identity);
        let task = ActionType::CreateTask;
        let keys = [
            of(tenant, task, "m1", Identity::Payload(&pay)),
            of(other, task, "m1", Identity::Payload(&pay)),
            of(tenant, ActionType::Label, "m1", Identity::Payload(&pay)),
            of(tenant, task, "m2", Identity::Payload(&pay)),
            of(tenant, task, "m1", Identity::Payload(&call)),
            of(tenant, task, "m1", Identity::External("Pay")),
            of(tenant, task, "m1", Identity::Payload(&word)),
        ];
        let different: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(different.len(), keys.len());
        assert_eq!(keys[0], of(tenant, task, "m1", Identity::Payload(&again)));
    }

    #[test]
    fn email_has_one_message_id_and_another_email_has_another() {
        let tenant = TenantId::new();
        let id = message_id(tenant, &[1; 32], "acme.example");
        assert_eq!(id, message_id(tenant, &[1; 32], "acme.example"));
        assert_ne!(id, message_id(tenant, &[2; 32], "acme.example"));
        assert!(
            id.starts_with('<') && id.ends_with("@acme.example>") && id.len() == 47,
            "{id}"
        );
    }
}
