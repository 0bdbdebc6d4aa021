//! What an evaluation compares: [`Decision`], and the accuracy that is wanted of it, [`MinAccuracy`].

use super::labels::Label;
use std::{fmt, str::FromStr};
use worker::handlers::triage::evaluate::Evaluation;

/// What stands in place of a decision if the model gave no usable answer.
pub(super) const NO_ANSWER: &str = "no answer";

/// A decision that an email is labelled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Category,
    Disposition,
    Priority,
    Injection,
}

impl Decision {
    pub(super) const ALL: [Self; 4] = [
        Self::Category,
        Self::Disposition,
        Self::Priority,
        Self::Injection,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Category => "category",
            Self::Disposition => "disposition",
            Self::Priority => "priority",
            Self::Injection => "injection",
        }
    }

    /// Returns the labels that count as right, the best one first.
    pub(super) fn expected(self, label: &Label) -> Vec<&'static str> {
        match self {
            Self::Category => label.category.all(|word| word.as_str()),
            Self::Disposition => label.disposition.all(|word| word.as_str()),
            Self::Priority => label.priority.all(|word| word.as_str()),
            Self::Injection => vec![yes_or_no(label.injection)],
        }
    }

    /// Returns what was decided.
    pub(super) fn decided(self, evaluation: &Evaluation) -> &'static str {
        if evaluation.failure.is_some() {
            return NO_ANSWER;
        }
        let judgement = &evaluation.judgement;
        match self {
            Self::Category => judgement.category.as_str(),
            Self::Disposition => judgement.disposition.as_str(),
            Self::Priority => judgement.priority.as_str(),
            Self::Injection => yes_or_no(judgement.injection_suspected),
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

const fn yes_or_no(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

/// The share of emails that must be judged as labelled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct MinAccuracy {
    /// Each decision if none is named.
    pub(super) decision: Option<Decision>,
    /// From 0 to 1.
    pub(super) share: f64,
}

impl FromStr for MinAccuracy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (decision, share) = match text.split_once('=') {
            None => (None, text),
            Some((name, share)) => {
                let named = Decision::ALL.into_iter().find(|it| it.as_str() == name);
                let names = Decision::ALL.map(Decision::as_str).join(", ");
                let unknown = || format!("{name:?} is none of {names}");
                (Some(named.ok_or_else(unknown)?), share)
            }
        };
        let share = share.parse().ok().filter(|it| (0.0..=1.0).contains(it));
        let share = share.ok_or("give a share from 0 to 1, for example 0.9")?;
        Ok(Self { decision, share })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accuracy_is_wanted_of_one_decision_or_of_each() {
        let parsed = |text: &str| text.parse::<MinAccuracy>();
        let (category, share) = (Some(Decision::Category), 0.9);
        assert_eq!(
            parsed("0.9"),
            Ok(MinAccuracy {
                decision: None,
                share
            })
        );
        assert_eq!(
            parsed("category=0.9"),
            Ok(MinAccuracy {
                decision: category,
                share
            })
        );
        for wrong in ["90", "-1", "NaN", "mood=0.9", "category=", ""] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
