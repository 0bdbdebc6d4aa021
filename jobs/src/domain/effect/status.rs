//! The states of an effect in one table. From `unknown` the only way to a second attempt is to find out whether it
//! happened.

use base::str_enum;

str_enum! {
    /// The status of an effect.
    EffectStatus {
        /// Recorded; nothing was tried yet.
        Intent = "intent",
        InFlight = "in_flight",
        Succeeded = "succeeded",
        /// An email that was sent and came back: a recipient did not get it.
        Bounced = "bounced",
        FailedPermanent = "failed_permanent",
        /// It did not happen and is tried again.
        Retryable = "retryable",
        /// It may have happened.
        Unknown = "unknown",
        /// Postroom asks the provider.
        Reconciling = "reconciling",
        /// The provider could not tell; a person must resolve it.
        NeedsHuman = "needs_human",
        Compensating = "compensating",
        Compensated = "compensated",
        CompensationFailed = "compensation_failed",
    }
}

str_enum! {
    /// A step in the life of an effect.
    EffectStep {
        Begin = "begin",
        Succeed = "succeed",
        FailForGood = "fail_for_good",
        FailForNow = "fail_for_now",
        /// The attempt ended without a known result.
        Lose = "lose",
        /// An effect that certainly did not happen is requested again.
        Renew = "renew",
        /// A mail server reported that a recipient did not get the email.
        Bounce = "bounce",
        Reconcile = "reconcile",
        AskAPerson = "ask_a_person",
        Compensate = "compensate",
        EndCompensation = "end_compensation",
        FailCompensation = "fail_compensation",
    }
}

/// The state does not allow the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an effect that is {status} does not {step}")]
pub struct EffectRefused {
    pub status: EffectStatus,
    pub step: EffectStep,
}

impl EffectStatus {
    /// Returns the state after the step.
    ///
    /// # Errors
    /// If this state does not allow the step.
    pub const fn after(self, step: EffectStep) -> Result<Self, EffectRefused> {
        use EffectStep as Step;
        Ok(match (self, step) {
            (Self::Intent, Step::Begin) => Self::InFlight,
            (Self::InFlight | Self::Reconciling | Self::NeedsHuman, Step::Succeed) => {
                Self::Succeeded
            }
            (Self::InFlight, Step::FailForGood) => Self::FailedPermanent,
            (
                Self::Intent | Self::InFlight | Self::Reconciling | Self::NeedsHuman,
                Step::FailForNow,
            ) => Self::Retryable,
            (Self::InFlight | Self::Reconciling, Step::Lose) => Self::Unknown,
            (Self::Retryable | Self::FailedPermanent, Step::Renew) => Self::Intent,
            (Self::Succeeded | Self::Bounced, Step::Bounce) => Self::Bounced,
            (Self::Unknown, Step::Reconcile) => Self::Reconciling,
            (Self::Reconciling, Step::AskAPerson) => Self::NeedsHuman,
            (Self::Succeeded | Self::CompensationFailed, Step::Compensate) => Self::Compensating,
            (Self::Compensating, Step::EndCompensation) => Self::Compensated,
            (Self::Compensating, Step::FailCompensation) => Self::CompensationFailed,
            (status, step) => return Err(EffectRefused { status, step }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_that_there_is_stands_here() {
        let ways: Vec<String> = EffectStatus::ALL
            .iter()
            .flat_map(|from| EffectStep::ALL.iter().map(move |step| (*from, *step)))
            .filter_map(|(from, step)| match from.after(step) {
                Ok(to) => Some(format!("{from} {to}")),
                Err(refused) => {
                    assert_eq!(refused, EffectRefused { status: from, step });
                    None
                }
            })
            .collect();
        assert_eq!(
            ways,
            [
                "intent in_flight",
                "intent retryable",
                "in_flight succeeded",
                "in_flight failed_permanent",
                "in_flight retryable",
                "in_flight unknown",
                "succeeded bounced",
                "succeeded compensating",
                "bounced bounced",
                "failed_permanent intent",
                "retryable intent",
                "unknown reconciling",
                "reconciling succeeded",
                "reconciling retryable",
                "reconciling unknown",
                "reconciling needs_human",
                "needs_human succeeded",
                "needs_human retryable",
                "compensating compensated",
                "compensating compensation_failed",
                "compensation_failed compensating",
            ]
        );
    }

    #[test]
    fn what_may_have_been_done_is_not_tried_again_before_it_is_known() {
        let status = EffectStatus::Unknown;
        for step in EffectStep::ALL
            .iter()
            .filter(|step| **step != EffectStep::Reconcile)
        {
            assert!(status.after(*step).is_err(), "{step}");
        }
    }
}
