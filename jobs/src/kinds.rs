//! The kinds of job: what each carries, gives back, and how it is retried. One file per kind; no IO.

pub mod action;
pub mod connection_test;
pub mod draft;
pub mod triage;
pub mod triage_batch;

use queue::JobKind;

/// Every queue that a kind of job waits in.
pub const QUEUES: [&str; 3] = [
    triage::Triage::QUEUE,
    draft::DraftGenerate::QUEUE,
    action::ActionExecute::QUEUE,
];

/// Every kind of job.
pub const KINDS: [&str; 5] = [
    triage::Triage::NAME,
    triage_batch::TriageBatch::NAME,
    draft::DraftGenerate::NAME,
    action::ActionExecute::NAME,
    connection_test::ConnectionTest::NAME,
];
