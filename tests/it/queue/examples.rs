//! The examples of the queue crate print what they promise, each in a database of its own without any tables.

use crate::support::{TestDb, binaries};
use std::process::Command;

const EXAMPLES: [&str; 6] = [
    "batch",
    "cancel",
    "periodic",
    "retry",
    "transaction",
    "two_kinds",
];

/// Runs an example to its end and returns the lines that it prints.
async fn lines(name: &str) -> Vec<String> {
    let path = binaries::example(name, &EXAMPLES);
    let db = TestDb::unmigrated().await;
    let mut command = Command::new(path);
    command.env("DATABASE_URL", db.url());
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .expect("run the example");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} failed: {stderr}");
    let stdout = String::from_utf8(output.stdout).unwrap();
    stdout.lines().map(str::to_owned).collect()
}

#[test]
fn every_example_has_its_test() {
    let folder = binaries::root().join("crates/queue/examples");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.strip_suffix(".rs").map(str::to_owned)
        })
        .collect();
    names.sort();
    assert_eq!(names, EXAMPLES);
}

#[tokio::test]
async fn transaction_example_enqueues_with_the_commit_and_once() {
    assert_eq!(
        lines("transaction").await,
        [
            "after the rollback: orders: 0, jobs: 0",
            "after the commit: orders: 1, jobs: 1",
            "enqueued again: the same job: true",
            "shipped order 2",
            "the worker has stopped",
        ]
    );
}

#[tokio::test]
async fn retry_example_succeeds_at_the_third_attempt_and_shows_its_progress() {
    assert_eq!(
        lines("retry").await,
        [
            "attempt 1: out of paper",
            "attempt 2: out of paper",
            "attempt 3: printing",
            r#"the job has succeeded: {"pages":4}"#,
            "history: attempt 1 retried: out_of_paper",
            "history: attempt 2 retried: out_of_paper",
            "history: attempt 3 succeeded",
            "progress: 0.5 printed page 2 of 4",
        ]
    );
}

#[tokio::test]
async fn periodic_example_runs_its_job_at_every_tick() {
    assert_eq!(
        lines("periodic").await,
        [
            "sent report 1",
            "sent report 2",
            "sent report 3",
            "the worker has stopped",
        ]
    );
}

#[tokio::test]
async fn cancel_example_stops_a_waiting_and_a_running_job() {
    let lines = lines("cancel").await;
    assert_eq!(lines[..2], ["handler: copying", "cancel: Now"]);
    // The handler may stop before the line about its request is printed.
    for line in ["cancel: Requested", "handler: cancelled, cleaning up"] {
        assert!(lines[2..4].iter().any(|found| found == line), "{lines:?}");
    }
    assert_eq!(
        lines[4..],
        [
            "waiting job: cancelled: The job was cancelled while it waited.",
            "running job: cancelled: The job was cancelled while it ran.",
        ]
    );
}

#[tokio::test]
async fn batch_example_sums_up_its_children() {
    let mut lines = lines("batch").await;
    assert_eq!(lines[0], "book: waiting for 4 pages");
    // Pages are rendered at the same time, in any order.
    lines[1..4].sort();
    assert_eq!(
        lines[1..],
        [
            "page 1: rendered",
            "page 2: rendered",
            "page 4: rendered",
            "book: a page failed: Page 3 uses a font that is not installed.",
            "book: 3 of 4 pages",
            "the batch has succeeded: 4 of 4 pages, 1 failed",
        ]
    );
}

#[tokio::test]
async fn two_kinds_example_runs_a_reminder_before_the_exports_end() {
    let mut lines = lines("two_kinds").await;
    assert_eq!(lines[0], "reminder: stand up");
    lines[1..4].sort();
    assert_eq!(
        lines[1..],
        [
            "export 1: done",
            "export 2: done",
            "export 3: done",
            "the worker has stopped",
        ]
    );
}
