//! Corrections of former judgements as examples in a prompt: [`Examples`]. How the owner decided is trusted, in words of ours
//! and of the owner; what the decision was about comes from emails and models, and is evidence.

use base::TenantId;
use chrono::{DateTime, Utc};
use jobs::{
    domain::{UserId, corrections::CorrectionKind, mail::Mail, memory::for_prompt_at, risk::Risk},
    store::corrections::{self, StoredCorrection},
};
use serde_json::Value;
use sqlx::PgConnection;
use std::fmt::Write as _;

/// The most examples in a prompt.
const EXAMPLES: i64 = 4;

/// The corrections that a prompt shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::handlers) struct Examples(pub(in crate::handlers) Vec<StoredCorrection>);

impl Examples {
    /// Reads the person's corrections that are closest to the email, from before `asked_on`: every attempt asks the same.
    pub(in crate::handlers) async fn load(
        conn: &mut PgConnection,
        (tenant, user): (TenantId, UserId),
        kinds: &[CorrectionKind],
        mail: Option<&Mail>,
        asked_on: DateTime<Utc>,
    ) -> Result<Self, sqlx::Error> {
        let sender = mail.and_then(|mail| mail.from.as_ref());
        let sender = sender.map(|from| from.addr.to_lowercase());
        let owner = (tenant, user);
        let sender = sender.as_deref();
        let found = corrections::for_prompt(conn, owner, kinds, sender, asked_on, EXAMPLES).await?;
        Ok(Self(found))
    }

    /// Renders how the owner decided, one numbered line each.
    pub(in crate::handlers) fn owner_lines(&self) -> Option<String> {
        let mut text = String::new();
        for (number, correction) in (1..).zip(&self.0) {
            let StoredCorrection {
                kind,
                action_type,
                chosen,
                ..
            } = correction;
            let line = match (kind, chosen) {
                (CorrectionKind::Rejected, _) => {
                    format!("{action_type} was proposed; the owner rejected it.")
                }
                (CorrectionKind::Changed, _) => {
                    format!("{action_type} was proposed; the owner changed its parameters.")
                }
                (CorrectionKind::Revised, Some(instructions)) => {
                    format!(
                        "a draft was written; the owner then asked: {}",
                        redacted(instructions)
                    )
                }
                (CorrectionKind::Revised, None) => {
                    "a draft was written; the owner had it changed.".to_owned()
                }
                (CorrectionKind::Discarded, _) => {
                    "a draft was written; the owner did not want it.".to_owned()
                }
            };
            let _ = writeln!(text, "{number}. {line}");
        }
        (!text.is_empty()).then_some(text)
    }

    /// Renders what the decisions were about, under the same numbers.
    pub(in crate::handlers) fn evidence_lines(&self) -> Option<String> {
        let mut text = String::new();
        for (number, correction) in (1..).zip(&self.0) {
            let sender = correction.email.sender.as_deref();
            let domain = sender.and_then(|sender| Some(sender.rsplit_once('@')?.1));
            let subject = correction.email.subject.as_deref().unwrap_or("unknown");
            let _ = write!(
                text,
                "{number}. email from {}, subject: {}; proposed: {}",
                redacted(domain.unwrap_or("an unknown sender")),
                redacted(subject),
                redacted(&correction.proposed)
            );
            match (correction.kind, &correction.chosen) {
                (CorrectionKind::Changed, Some(chosen)) => {
                    let _ = writeln!(text, "; changed to: {}", redacted(chosen));
                }
                _ => text.push('\n'),
            }
        }
        let text = text.trim_end();
        (!text.is_empty()).then(|| text.to_owned())
    }
}

/// Takes out what must not travel from one email into the answer to another.
fn redacted(text: &str) -> String {
    match for_prompt_at(Risk::High, &Value::String(text.to_owned())) {
        Value::String(text) => text,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jobs::domain::corrections::JudgedEmail;

    fn correction(kind: CorrectionKind, chosen: Option<&str>) -> StoredCorrection {
        StoredCorrection {
            kind,
            action_type: "create_task".into(),
            email: JudgedEmail::of(Some("Eve@x.example"), "HUNTER-subject"),
            proposed: "HUNTER-title, call +44 20 7946 0958".into(),
            chosen: chosen.map(str::to_owned),
        }
    }

    #[test]
    fn decisions_are_trusted_and_what_they_were_about_is_evidence() {
        let examples = Examples(vec![
            correction(CorrectionKind::Rejected, None),
            correction(CorrectionKind::Changed, Some("title: HUNTER-new")),
            correction(CorrectionKind::Revised, Some("Shorter, please.")),
            correction(CorrectionKind::Discarded, None),
        ]);
        let said = examples.owner_lines().unwrap();
        assert_eq!(said.lines().count(), 4);
        assert!(said.contains("3. a draft was written; the owner then asked: Shorter, please."));
        assert!(!said.contains("HUNTER"), "{said}");
        let evidence = examples.evidence_lines().unwrap();
        assert_eq!(evidence.lines().count(), 4);
        assert!(evidence.contains("1. email from x.example, subject: HUNTER-subject;"));
        assert!(evidence.contains("changed to: title: HUNTER-new"));
        assert!(
            !evidence.contains("7946") && !evidence.contains("eve@"),
            "{evidence}"
        );
        assert_eq!(Examples::default().owner_lines(), None);
        assert_eq!(Examples::default().evidence_lines(), None);
    }
}
