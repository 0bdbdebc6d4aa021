//! The shipped fixtures, which testing mode uses unless a folder is configured.

/// File names and texts, in search order.
pub const SHIPPED: &[(&str, &str)] = &[
    (
        "triage/injection.json",
        include_str!("fixtures/triage/injection.json"),
    ),
    (
        "triage/invoice.json",
        include_str!("fixtures/triage/invoice.json"),
    ),
    (
        "triage/meeting.json",
        include_str!("fixtures/triage/meeting.json"),
    ),
    (
        "triage/cold.json",
        include_str!("fixtures/triage/cold.json"),
    ),
    (
        "triage/newsletter.json",
        include_str!("fixtures/triage/newsletter.json"),
    ),
    (
        "triage/notification.json",
        include_str!("fixtures/triage/notification.json"),
    ),
    (
        "triage/question.json",
        include_str!("fixtures/triage/question.json"),
    ),
    (
        "triage/catch_all.json",
        include_str!("fixtures/triage/catch_all.json"),
    ),
    (
        "draft/unclear.json",
        include_str!("fixtures/draft/unclear.json"),
    ),
    (
        "draft/revise.json",
        include_str!("fixtures/draft/revise.json"),
    ),
    (
        "draft/meeting.json",
        include_str!("fixtures/draft/meeting.json"),
    ),
    (
        "draft/catch_all.json",
        include_str!("fixtures/draft/catch_all.json"),
    ),
];

#[cfg(test)]
mod tests;
