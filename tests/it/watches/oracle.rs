//! Which emails are in the server's files, and which have a job. Statements and readings of its own.

use crate::support::{TestDb, dovecot::Dovecot};
use std::collections::BTreeSet;

/// The number in the Message-ID of a test's email.
const MARK: &str = "<watched.";

/// The emails of the triage jobs, one entry each job.
pub(super) async fn read(db: &TestDb) -> Vec<usize> {
    let listed: String = db
        .one(
            r"select coalesce(string_agg(
                  coalesce(substring(encode(m.source, 'escape') from '<watched\.([0-9]+)@'), 'none'), ' '), '')
              from (select args from jobs where kind = 'triage.email'
                    union all select args from finished_jobs where kind = 'triage.email') j
              left join messages m on m.id = (j.args ->> 'message_id')::uuid",
        )
        .await;
    listed
        .split_whitespace()
        .map(|number| number.parse().expect("each job has an email of the test"))
        .collect()
}

/// The emails in the server's files that have no job.
pub(super) async fn lost(dovecot: &Dovecot, db: &TestDb) -> BTreeSet<usize> {
    let kept = dovecot.kept();
    let mut lost: BTreeSet<usize> = kept.iter().map(|stored| number(&stored.text)).collect();
    for number in read(db).await {
        lost.remove(&number);
    }
    lost
}

fn number(text: &str) -> usize {
    let rest = text.split_once(MARK).expect("an email of the test").1;
    let digits = rest.split('@').next().unwrap_or_default();
    digits.parse().expect("a number")
}
