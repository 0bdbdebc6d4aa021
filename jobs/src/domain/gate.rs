//! Decides whether an action runs by itself: trust × risk → [`Gate`]; pure tables, no IO.
//!
//! Authorisation lives here and nowhere near a model: no text of a message and no word of a completion reaches these
//! functions, only facts that our own code has established ([`Circumstances`]).

use super::action::ActionType;
use super::risk::Risk;
use base::str_enum;

str_enum! {
    /// What the assistant may do without asking, in ascending order.
    TrustMode {
        TrainingWheels = "training_wheels",
        Supervised = "supervised",
        Autonomous = "autonomous",
    }
}

str_enum! {
    /// Whether a proposed action is executed, needs an approval or is denied.
    #[schemars(rename = "ActionGate")]
    Gate {
        Auto = "auto",
        Approval = "approval",
        Denied = "denied",
    }
}

/// Whether autonomous tenants let high-risk actions run by themselves. None does until there is such a setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HighRiskPolicy {
    #[default]
    Ask,
    Allow,
}

/// Facts about the message and the action that raise its risk or forbid it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// The message tries to instruct the model.
    pub injection_suspected: bool,
    /// The sender's domain disowns the message (DMARC).
    pub dmarc_failed: bool,
    /// A machine wrote the message: replying makes loops (RFC 3834 §2).
    pub automatic_sender: bool,
    /// A reply to the message is drafted in any case.
    pub reply_is_drafted: bool,
    /// The number of actions that are asked for together.
    pub items: usize,
}

/// More than this many items at once is bulk.
pub const BULK_ITEMS: usize = 20;

/// Returns the risk of an action under these circumstances.
pub const fn risk(action: ActionType, facts: Circumstances) -> Risk {
    let forged_and_leaving = facts.dmarc_failed && action.spec().executor.is_external();
    if facts.injection_suspected || facts.items > BULK_ITEMS || forged_and_leaving {
        Risk::Critical
    } else if facts.reply_is_drafted && matches!(action, ActionType::SaveDraft) {
        // It is that draft, which needs an approval before it is sent. Asking for it as well would make a second one.
        Risk::Low
    } else {
        action.spec().risk
    }
}

/// Returns the gate by trust × risk.
pub const fn by_trust(trust: TrustMode, risk: Risk, policy: HighRiskPolicy) -> Gate {
    match (trust, risk) {
        (TrustMode::TrainingWheels | TrustMode::Supervised | TrustMode::Autonomous, Risk::Low)
        | (TrustMode::Supervised | TrustMode::Autonomous, Risk::Medium) => Gate::Auto,
        (TrustMode::Autonomous, Risk::High) => match policy {
            HighRiskPolicy::Allow => Gate::Auto,
            HighRiskPolicy::Ask => Gate::Approval,
        },
        (TrustMode::TrainingWheels, Risk::Medium)
        | (TrustMode::TrainingWheels | TrustMode::Supervised, Risk::High)
        | (
            TrustMode::TrainingWheels | TrustMode::Supervised | TrustMode::Autonomous,
            Risk::Critical,
        ) => Gate::Approval,
    }
}

/// Decides: first what the action is denied for, then whether its proposer requires confirmation, then trust × risk.
///
/// # Example
/// A reply to a newsletter is [`Gate::Denied`] whatever the trust; a task that the fallback proposes needs approval
/// even under [`TrustMode::Autonomous`].
pub const fn decide(
    trust: TrustMode,
    action: ActionType,
    facts: Circumstances,
    confirmation: Confirmation,
    policy: HighRiskPolicy,
) -> (Risk, Gate) {
    let risk = risk(action, facts);
    let gate = if facts.automatic_sender && action.spec().reaches_sender {
        Gate::Denied
    } else {
        match confirmation {
            Confirmation::Required => Gate::Approval,
            Confirmation::AsTrusted => by_trust(trust, risk, policy),
        }
    };
    (risk, gate)
}

/// Whether the proposer of an action requires confirmation in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Confirmation {
    Required,
    /// Trust × risk decides.
    #[default]
    AsTrusted,
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: Circumstances = Circumstances {
        injection_suspected: false,
        dmarc_failed: false,
        automatic_sender: false,
        reply_is_drafted: false,
        items: 1,
    };

    #[test]
    fn draft_that_is_written_anyway_is_not_asked_for_as_well() {
        for action in ActionType::ALL {
            let gate = |reply_is_drafted, confirmation| {
                let facts = Circumstances {
                    reply_is_drafted,
                    ..CALM
                };
                let trust = TrustMode::TrainingWheels;
                decide(trust, *action, facts, confirmation, HighRiskPolicy::Ask).1
            };
            let differs =
                gate(true, Confirmation::AsTrusted) != gate(false, Confirmation::AsTrusted);
            assert_eq!(differs, *action == ActionType::SaveDraft, "{action}");
            assert_eq!(gate(true, Confirmation::Required), Gate::Approval);
        }
    }

    #[test]
    fn trust_times_risk_is_the_documented_table() {
        use Gate::{Approval, Auto};
        let table = [
            (Risk::Low, [Auto, Auto, Auto]),
            (Risk::Medium, [Approval, Auto, Auto]),
            (Risk::High, [Approval, Approval, Approval]),
            (Risk::Critical, [Approval, Approval, Approval]),
        ];
        for (risk, gates) in table {
            for (trust, gate) in TrustMode::ALL.iter().zip(gates) {
                assert_eq!(
                    by_trust(*trust, risk, HighRiskPolicy::Ask),
                    gate,
                    "{trust} × {risk}"
                );
            }
        }
    }

    #[test]
    fn policy_opens_high_risk_to_autonomous_tenants_only() {
        for trust in TrustMode::ALL {
            let gate = by_trust(*trust, Risk::High, HighRiskPolicy::Allow);
            assert_eq!(gate == Gate::Auto, *trust == TrustMode::Autonomous);
            assert_eq!(
                by_trust(*trust, Risk::Critical, HighRiskPolicy::Allow),
                Gate::Approval
            );
        }
    }

    #[test]
    fn nothing_runs_by_itself_after_a_suspected_injection() {
        for action in ActionType::ALL {
            for trust in TrustMode::ALL {
                let facts = Circumstances {
                    injection_suspected: true,
                    ..CALM
                };
                let decided = decide(
                    *trust,
                    *action,
                    facts,
                    Confirmation::AsTrusted,
                    HighRiskPolicy::Allow,
                );
                assert_eq!(
                    decided,
                    (Risk::Critical, Gate::Approval),
                    "{action} under {trust}"
                );
            }
        }
    }

    #[test]
    fn forged_mail_makes_sending_critical_and_labelling_not() {
        let facts = Circumstances {
            dmarc_failed: true,
            ..CALM
        };
        for action in ActionType::ALL {
            assert_eq!(
                risk(*action, facts) == Risk::Critical,
                action.spec().executor.is_external(),
                "{action}"
            );
        }
    }

    #[test]
    fn bulk_is_critical_beyond_twenty_items() {
        assert_eq!(
            risk(ActionType::Label, Circumstances { items: 20, ..CALM }),
            Risk::Low
        );
        assert_eq!(
            risk(ActionType::Label, Circumstances { items: 21, ..CALM }),
            Risk::Critical
        );
    }

    #[test]
    fn machines_are_never_answered() {
        let facts = Circumstances {
            automatic_sender: true,
            ..CALM
        };
        for action in ActionType::ALL {
            let (_, gate) = decide(
                TrustMode::Autonomous,
                *action,
                facts,
                Confirmation::Required,
                HighRiskPolicy::Allow,
            );
            let expected = if action.spec().reaches_sender {
                Gate::Denied
            } else {
                Gate::Approval
            };
            assert_eq!(gate, expected, "{action}");
        }
    }

    #[test]
    fn wish_for_confirmation_is_stronger_than_trust() {
        let decided = |confirmation| {
            decide(
                TrustMode::Autonomous,
                ActionType::Label,
                CALM,
                confirmation,
                HighRiskPolicy::Allow,
            )
            .1
        };
        assert_eq!(decided(Confirmation::Required), Gate::Approval);
        assert_eq!(decided(Confirmation::AsTrusted), Gate::Auto);
    }
}
