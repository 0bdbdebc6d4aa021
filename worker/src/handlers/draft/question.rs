//! Builds the inbox item with the open questions of a draft: [`item`]. Pure.

use super::load::Case;
use super::parse_reply::Reply;
use base::JobId;
use jobs::domain::{
    inbox::{ItemSource, NewItem},
    judgement::Priority,
    name::{Name, TITLE_CHARS},
};
use std::fmt::Write as _;

const UNTITLED: &str = "An email needs your answer";

/// Builds the item. One per job, so that an earlier answer does not suppress a new question.
pub(super) fn item(case: &Case, reply: &Reply, job: JobId) -> Option<NewItem> {
    let mut rationale = "A draft was not written because these questions are open:".to_owned();
    for question in &reply.open_questions {
        let _ = write!(rationale, "\n- {question}");
    }
    let first = reply.open_questions.first().map_or("", String::as_str);
    let title: String = first.chars().take(TITLE_CHARS).collect();
    let title = Name::parse(&title, TITLE_CHARS).or_else(|_| Name::parse(UNTITLED, TITLE_CHARS));
    Some(NewItem {
        owner: case.writer.as_ref().map(|writer| writer.user),
        source: match case.message() {
            Some(_) => ItemSource::Email,
            None => ItemSource::Manual,
        },
        dedupe_key: format!("draft:{job}"),
        title: title.ok()?,
        rationale,
        priority: Priority::Medium,
        message: case.message(),
        job: Some(job),
    })
}
