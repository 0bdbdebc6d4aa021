//! What would have to be known waits for the person in the queue: [`item`]. Pure.

use super::load::Case;
use super::parse_reply::Reply;
use base::JobId;
use jobs::domain::{
    inbox::{ItemSource, NewItem},
    judgement::Priority,
    name::{Name, TITLE_CHARS},
};
use std::fmt::Write as _;

const UNTITLED: &str = "A mail waits for your word";

/// One for each job that asks: what a person has answered before does not keep a new question away.
pub(super) fn item(case: &Case, reply: &Reply, job: JobId) -> Option<NewItem> {
    let mut rationale =
        "A mail was not written, because something has to be known first:".to_owned();
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
