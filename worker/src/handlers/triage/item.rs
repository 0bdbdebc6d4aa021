//! What a mail leaves in somebody's queue: [`of`]. Pure.

use super::load::Case;
use jobs::domain::{
    desk::{ItemSource, Name, NewItem, TITLE_CHARS, asks_for_action},
    judgement::Judgement,
};
use std::fmt::Write as _;

/// The item, if something is asked of a person. It is named by what the mail says, so that a copy does not ask again.
pub(super) fn of(case: &Case, judgement: &Judgement) -> Option<NewItem> {
    if !asks_for_action(judgement) {
        return None;
    }
    let mut dedupe_key = String::with_capacity(64);
    for byte in case.content_hash {
        let _ = write!(dedupe_key, "{byte:02x}");
    }
    Some(NewItem {
        owner: case.owner,
        source: ItemSource::Email,
        dedupe_key,
        title: title(&case.mail.subject)?,
        rationale: judgement.rationale.clone(),
        priority: judgement.priority,
        message: Some(case.message),
        job: None,
    })
}

/// As much of the subject as a title may have.
fn title(subject: &str) -> Option<Name> {
    let plain = subject.replace(char::is_control, " ");
    let words = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = words.chars().take(TITLE_CHARS).collect();
    Name::parse(&short, TITLE_CHARS)
        .or_else(|_| Name::parse("A mail without a subject", TITLE_CHARS))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_subject_makes_a_title() {
        let text = |subject: &str| title(subject).unwrap().as_str().to_owned();
        assert_eq!(text(" Pay\u{0}\r\n Ada "), "Pay Ada");
        assert_eq!(text(" \n"), "A mail without a subject");
        assert_eq!(text(&"ü ".repeat(300)).chars().count(), 199);
    }
}
