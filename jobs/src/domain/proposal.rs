//! A proposed action, before the gate ([`Proposal`]) and after it ([`ProposedAction`]).

use super::ApprovalId;
use super::action::{ActionType, Params, canonical_sha256};
use super::gate::{Confirmation, Gate};
use super::risk::Risk;
use uuid::Uuid;

/// An action that a rule, the model or the fallback proposes, before the gate.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    pub kind: ActionType,
    pub params: Params,
    pub confirmation: Confirmation,
    /// In [0, 1].
    pub confidence: f32,
    pub rationale: Option<String>,
}

impl Proposal {
    /// sha256 over type and canonical parameters: the same action proposed twice for one message is one action.
    pub fn fingerprint(&self) -> [u8; 32] {
        canonical_sha256(&serde_json::json!({ "type": self.kind, "params": self.params.as_json() }))
    }
}

/// An action after the gate, as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct ProposedAction {
    pub id: Uuid,
    pub proposal: Proposal,
    pub risk: Risk,
    pub gate: Gate,
    /// Present exactly if `gate` is [`Gate::Approval`].
    pub approval: Option<ApprovalId>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn task(params: Value) -> Proposal {
        let Value::Object(params) = params else {
            panic!("an object")
        };
        Proposal {
            kind: ActionType::CreateTask,
            params: Params::read(ActionType::CreateTask, &params).unwrap(),
            confirmation: Confirmation::AsTrusted,
            confidence: 0.9,
            rationale: None,
        }
    }

    #[test]
    fn fingerprint_depends_on_type_and_parameters_only() {
        let one = task(json!({"title": "Pay", "notes": "soon"}));
        let mut twin = task(json!({"notes": "soon", "title": "Pay"}));
        twin.confidence = 0.1;
        twin.rationale = Some("other words".into());
        assert_eq!(one.fingerprint(), twin.fingerprint());
        assert_ne!(
            one.fingerprint(),
            task(json!({"title": "Pay", "notes": "later"})).fingerprint()
        );
    }
}
