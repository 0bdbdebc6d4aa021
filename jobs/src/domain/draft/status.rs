//! The life of a draft: [`DraftStatus`], and what each [`DraftStep`] makes of it. One table, and no other way from state to
//! state.

use crate::domain::words::words;

words! {
    /// The status of a draft.
    DraftStatus {
        /// A job writes its first version.
        Generating = "generating",
        /// Its newest version waits for a decision.
        Ready = "ready",
        /// A person approved it.
        Approved = "approved",
        /// A person approved it to be sent later.
        Scheduled = "scheduled",
        /// A worker is sending it.
        Sending = "sending",
        Sent = "sent",
        /// It was not sent.
        SendFailed = "send_failed",
        /// It may have been sent.
        SendUnknown = "send_unknown",
        Discarded = "discarded",
        /// The user answered with another program; it is never sent.
        SupersededByUser = "superseded_by_user",
    }
}

words! {
    /// What can happen to a draft.
    DraftStep {
        /// Its first version is written.
        Finish = "finish",
        /// There is a new version.
        Revise = "revise",
        Approve = "approve",
        /// As approve, and it goes later.
        Schedule = "schedule",
        /// The agreement is taken back before it goes.
        Cancel = "cancel",
        Send = "send",
        Succeed = "send for good",
        Fail = "fail",
        /// Nobody can say whether it was sent.
        Lose = "lose",
        /// It was found out that it had been sent.
        FindSent = "find sent",
        /// It was found out that it had not been sent.
        FindUnsent = "find unsent",
        Discard = "discard",
        Supersede = "supersede",
    }
}

/// The state does not allow the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {step} a draft that is {status}")]
pub struct DraftRefused {
    pub status: DraftStatus,
    pub step: DraftStep,
}

impl DraftStatus {
    /// The state after the step.
    ///
    /// # Errors
    /// If this state does not allow it; the refusal names the state.
    pub const fn after(self, step: DraftStep) -> Result<Self, DraftRefused> {
        use DraftStep as Step;
        Ok(match (self, step) {
            (Self::Generating, Step::Finish)
            | (Self::Ready, Step::Revise)
            | (Self::Approved | Self::Scheduled, Step::Cancel)
            | (Self::SendUnknown, Step::FindUnsent) => Self::Ready,
            (Self::Ready, Step::Approve) => Self::Approved,
            (Self::Ready, Step::Schedule) => Self::Scheduled,
            // One that certainly was not sent may be tried again.
            (Self::Approved | Self::Scheduled | Self::SendFailed, Step::Send) => Self::Sending,
            (Self::Sending, Step::Succeed) | (Self::SendUnknown, Step::FindSent) => Self::Sent,
            (Self::Sending, Step::Fail) => Self::SendFailed,
            (Self::Sending, Step::Lose) => Self::SendUnknown,
            (Self::Ready | Self::Scheduled, Step::Discard) => Self::Discarded,
            (
                Self::Generating
                | Self::Ready
                | Self::Approved
                | Self::Scheduled
                | Self::SendFailed,
                Step::Supersede,
            ) => Self::SupersededByUser,
            (status, step) => return Err(DraftRefused { status, step }),
        })
    }

    /// Whether nothing can happen to it any more.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Sent | Self::Discarded | Self::SupersededByUser)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole table, as the design has it.
    #[test]
    fn every_pair_of_state_and_step_is_decided_as_documented() {
        let allowed = [
            ("generating", "finish", "ready"),
            ("generating", "supersede", "superseded_by_user"),
            ("ready", "revise", "ready"),
            ("ready", "approve", "approved"),
            ("ready", "schedule", "scheduled"),
            ("ready", "discard", "discarded"),
            ("ready", "supersede", "superseded_by_user"),
            ("approved", "cancel", "ready"),
            ("approved", "send", "sending"),
            ("approved", "supersede", "superseded_by_user"),
            ("scheduled", "cancel", "ready"),
            ("scheduled", "send", "sending"),
            ("scheduled", "discard", "discarded"),
            ("scheduled", "supersede", "superseded_by_user"),
            ("sending", "send for good", "sent"),
            ("sending", "fail", "send_failed"),
            ("sending", "lose", "send_unknown"),
            ("send_failed", "send", "sending"),
            ("send_failed", "supersede", "superseded_by_user"),
            ("send_unknown", "find sent", "sent"),
            ("send_unknown", "find unsent", "ready"),
        ];
        for status in DraftStatus::ALL {
            for step in DraftStep::ALL {
                let expected = allowed
                    .iter()
                    .find(|(from, by, _)| *from == status.as_str() && *by == step.as_str())
                    .map(|(_, _, to)| *to);
                let found = status.after(*step).ok().map(DraftStatus::as_str);
                assert_eq!(found, expected, "{status} {step}");
            }
            let moves = DraftStep::ALL
                .iter()
                .any(|step| status.after(*step).is_ok());
            assert_eq!(status.is_final(), !moves, "{status}");
        }
    }

    #[test]
    fn what_may_have_been_sent_is_never_sent_again_unasked() {
        assert!(DraftStatus::SendUnknown.after(DraftStep::Send).is_err());
        assert!(DraftStatus::Sent.after(DraftStep::Send).is_err());
        assert!(DraftStatus::Ready.after(DraftStep::Send).is_err());
    }
}
