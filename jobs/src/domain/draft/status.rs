//! The states of a draft: [`DraftStatus`], and the one table of what each [`DraftStep`] leads to.

use base::str_enum;

str_enum! {
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
        /// It was not sent; it can be revised, proposed again or discarded.
        SendFailed = "send_failed",
        /// Possibly sent.
        SendUnknown = "send_unknown",
        Discarded = "discarded",
        /// The user answered with another program; it is never sent.
        SupersededByUser = "superseded_by_user",
    }
}

str_enum! {
    /// A step in the life of a draft.
    DraftStep {
        /// Its first version was written.
        Finish = "finish",
        /// A new version was written.
        Revise = "revise",
        /// Its newest version gets another approval.
        Repropose = "propose again",
        Approve = "approve",
        /// As approve, but it is sent later.
        Schedule = "schedule",
        /// The approval is revoked before it is sent.
        Cancel = "cancel",
        Send = "send",
        Succeed = "send for good",
        Fail = "fail",
        /// It is unknown whether it was sent.
        Lose = "lose",
        /// It turned out to have been sent.
        FindSent = "find sent",
        /// It turned out not to have been sent.
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
    /// Returns the state after the step.
    ///
    /// # Errors
    /// If this state does not allow the step.
    pub const fn after(self, step: DraftStep) -> Result<Self, DraftRefused> {
        use DraftStep as Step;
        Ok(match (self, step) {
            (Self::Generating, Step::Finish)
            | (Self::Ready | Self::SendFailed, Step::Revise)
            | (Self::SendFailed, Step::Repropose)
            | (Self::Approved | Self::Scheduled, Step::Cancel)
            | (Self::SendUnknown, Step::FindUnsent) => Self::Ready,
            (Self::Ready, Step::Approve) => Self::Approved,
            (Self::Ready, Step::Schedule) => Self::Scheduled,
            // A draft that certainly was not sent may be tried again.
            (Self::Approved | Self::Scheduled | Self::SendFailed, Step::Send) => Self::Sending,
            (Self::Sending, Step::Succeed)
            | (Self::SendUnknown | Self::Discarded, Step::FindSent) => Self::Sent,
            (Self::Sending, Step::Fail) => Self::SendFailed,
            (Self::Sending, Step::Lose) => Self::SendUnknown,
            (
                Self::Ready | Self::Scheduled | Self::SendFailed | Self::SendUnknown,
                Step::Discard,
            ) => Self::Discarded,
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
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole table, as designed.
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
            ("discarded", "find sent", "sent"),
            ("send_failed", "send", "sending"),
            ("send_failed", "revise", "ready"),
            ("send_failed", "propose again", "ready"),
            ("send_failed", "discard", "discarded"),
            ("send_failed", "supersede", "superseded_by_user"),
            ("send_unknown", "discard", "discarded"),
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
        }
    }

    #[test]
    fn what_may_have_been_sent_is_never_sent_again_unasked() {
        assert!(DraftStatus::SendUnknown.after(DraftStep::Send).is_err());
        assert!(DraftStatus::Sent.after(DraftStep::Send).is_err());
        assert!(DraftStatus::Ready.after(DraftStep::Send).is_err());
    }
}
