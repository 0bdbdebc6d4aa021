//! Accepted means kept: real processes are killed, stopped, frozen and cut off, and every job still ends exactly once.
//!
//! A model that holds its answers back makes sure that a job is running when the blow falls.

mod call;
mod freeze;
mod kill;
mod restart;

use crate::support::{
    TestDb,
    client::Client,
    corpus::fixture,
    eventually,
    model::{FakeModel, Reply, VERDICT},
    wait::SOON,
};
use serde_json::Value;

/// No rule of the sample decides this one: the model is asked.
fn mail() -> Vec<u8> {
    fixture("plain-question")
}

fn says() -> Reply {
    Reply::Says(VERDICT.to_owned())
}

fn holds() -> Reply {
    Reply::Holds(VERDICT.to_owned())
}

/// The job succeeded, and everything it wrote is there once.
async fn assert_ended_once(db: &TestDb, client: &Client, id: &str) -> Value {
    let job = client.finished(id).await;
    assert_eq!(job["state"], "succeeded", "{job}");
    let each_once = [
        "select count(*) from finished_jobs where state = 'succeeded'",
        "select count(*) from triage_results",
        "select count(*) from approvals",
        "select count(*) from proposed_actions where gate = 'approval'",
        "select count(*) from audit_log where action = 'job.succeeded'",
    ];
    for sql in each_once {
        assert_eq!(db.one::<i64>(sql).await, 1, "{sql}");
    }
    assert_eq!(db.one::<i64>("select count(*) from jobs").await, 0);
    job
}

/// Waits until a statement of another process waits for the lock of a table, which a test holds. Statements wait for each
/// other's rows, too, and that says nothing about how far a process has come.
async fn somebody_waits_for_a_lock(db: &TestDb) {
    eventually(SOON, async || {
        let waiting: i64 = db
            .one(
                "select count(*) from pg_stat_activity
                 where datname = current_database() and wait_event_type = 'Lock' and wait_event = 'relation'",
            )
            .await;
        if waiting > 0 {
            Ok(())
        } else {
            Err("nobody waits for a lock".to_owned())
        }
    })
    .await;
}
