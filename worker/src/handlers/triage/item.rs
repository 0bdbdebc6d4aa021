//! The inbox item of a message: [`of`]. Pure.

use super::load::Case;
use jobs::domain::{
    inbox::{NewItem, asks_for_action},
    judgement::Judgement,
};

/// The item, if something is asked of a person.
pub(super) fn of(case: &Case, judgement: &Judgement) -> Option<NewItem> {
    if !asks_for_action(judgement) {
        return None;
    }
    Some(NewItem {
        owner: case.owner,
        rationale: judgement.rationale.clone(),
        priority: judgement.priority,
        ..NewItem::of_mail(&case.mail.subject, &case.content_hash, case.message)?
    })
}
