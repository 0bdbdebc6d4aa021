//! Builds the inbox item of a triage: [`of`]. Pure.

use super::load::Case;
use jobs::domain::{
    inbox::{NewItem, asks_for_action},
    judgement::Judgement,
};

/// Builds the item, if the email needs action from a user.
pub(super) fn of(case: &Case, judgement: &Judgement) -> Option<NewItem> {
    if !asks_for_action(judgement) {
        return None;
    }
    Some(NewItem {
        owner: case.owner,
        rationale: judgement.rationale.clone(),
        priority: judgement.priority,
        ..NewItem::of_mail(&case.mail.subject, &case.content_hash, case.message)
    })
}
