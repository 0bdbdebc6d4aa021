//! The states of an approval: [`Status`], and the one table of what each [`Step`] leads to.

use base::str_enum;

str_enum! {
    /// The status of an approval.
    #[schemars(rename = "ApprovalStatus")]
    Status {
        /// It waits for a decision.
        Proposed = "proposed",
        /// A job writes a new payload from a person's instructions.
        Editing = "editing",
        /// A person approved it; its job has not started.
        Approved = "approved",
        Executing = "executing",
        Executed = "executed",
        Failed = "failed",
        Rejected = "rejected",
        /// It was not decided in time.
        Expired = "expired",
        Undoing = "undoing",
        Undone = "undone",
    }
}

/// A step in the life of an approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Approve,
    BeginEdit,
    /// The new payload is there.
    EndEdit,
    Reject,
    Expire,
    /// A person revokes it before a worker has begun.
    Revoke,
    /// A worker begins.
    Claim,
    Succeed,
    Fail,
    /// Of a rejection always; of an execution only if what was done can be undone.
    Undo {
        compensable: bool,
    },
    /// The effects were undone.
    Compensate,
    /// The effects could not be undone and stand.
    FailUndo,
}

/// The state does not allow the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {} an approval that is {status}", step.verb())]
pub struct Refused {
    pub status: Status,
    pub step: Step,
}

impl Step {
    /// Returns the verb for messages.
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::BeginEdit => "edit",
            Self::EndEdit => "end the editing of",
            Self::Reject => "reject",
            Self::Expire => "expire",
            Self::Revoke => "revoke",
            Self::Claim => "begin",
            Self::Succeed => "complete",
            Self::Fail => "fail",
            Self::Undo { .. } => "undo",
            Self::Compensate => "end the undoing of",
            Self::FailUndo => "give up undoing",
        }
    }
}

impl Status {
    /// Returns the state after the step.
    ///
    /// # Errors
    /// If this state does not allow the step.
    pub const fn after(self, step: Step) -> Result<Self, Refused> {
        Ok(match (self, step) {
            (Self::Proposed, Step::Approve) => Self::Approved,
            (Self::Proposed, Step::BeginEdit) => Self::Editing,
            (Self::Proposed, Step::Reject) => Self::Rejected,
            (Self::Proposed, Step::Expire) => Self::Expired,
            (Self::Editing, Step::EndEdit)
            | (Self::Approved, Step::Revoke)
            | (Self::Rejected, Step::Undo { .. }) => Self::Proposed,
            (Self::Approved, Step::Claim) => Self::Executing,
            (Self::Executing, Step::Succeed) | (Self::Undoing, Step::FailUndo) => Self::Executed,
            (Self::Executing, Step::Fail) => Self::Failed,
            (Self::Executed, Step::Undo { compensable: true }) => Self::Undoing,
            (Self::Undoing, Step::Compensate) => Self::Undone,
            (status, step) => return Err(Refused { status, step }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [Step; 13] = [
        Step::Approve,
        Step::BeginEdit,
        Step::EndEdit,
        Step::Reject,
        Step::Expire,
        Step::Revoke,
        Step::Claim,
        Step::Succeed,
        Step::Fail,
        Step::Undo { compensable: true },
        Step::Undo { compensable: false },
        Step::Compensate,
        Step::FailUndo,
    ];

    #[test]
    fn every_step_from_every_state_is_in_this_table_or_refused_with_the_state() {
        let allowed = [
            ("proposed", "approve", "approved"),
            ("proposed", "edit", "editing"),
            ("proposed", "reject", "rejected"),
            ("proposed", "expire", "expired"),
            ("editing", "end the editing of", "proposed"),
            ("approved", "revoke", "proposed"),
            ("approved", "begin", "executing"),
            ("executing", "complete", "executed"),
            ("executing", "fail", "failed"),
            ("executed", "undo", "undoing"),
            ("rejected", "undo", "proposed"),
            ("undoing", "end the undoing of", "undone"),
            ("undoing", "give up undoing", "executed"),
        ];
        let (mut taken, mut refused) = (0, 0);
        for status in Status::ALL.iter().copied() {
            for step in STEPS {
                let irrevocable =
                    status == Status::Executed && step == (Step::Undo { compensable: false });
                let expected = allowed
                    .iter()
                    .find(|(from, verb, _)| *from == status.as_str() && *verb == step.verb())
                    .filter(|_| !irrevocable);
                match (status.after(step), expected) {
                    (Ok(next), Some((.., to))) => {
                        assert_eq!(next.as_str(), *to);
                        taken += 1;
                    }
                    (Err(refusal), None) => {
                        assert_eq!(refusal, Refused { status, step });
                        assert!(refusal.to_string().ends_with(status.as_str()));
                        refused += 1;
                    }
                    (got, expected) => panic!("{status} {step:?}: {got:?}, not {expected:?}"),
                }
            }
        }
        // A rejection is undone whether or not anything is compensable.
        assert_eq!((taken, refused), (14, 10 * 13 - 14));
    }
}
