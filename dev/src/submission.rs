//! Submits many emails in parallel, with a progress bar. See [`submit_all`].

use crate::client::{Client, Job, Options};
use crate::mailbox::Entry;
use base::telemetry::chain;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use uuid::Uuid;

/// Enough to keep a worker busy, few enough to leave the machine responsive.
const PARALLEL: usize = 8;

/// The result of one email.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The email's position in the order of submission.
    pub index: usize,
    pub label: String,
    /// The job in its final state, or why there is none.
    pub job: Result<Job, String>,
    /// Time from submission to end, as a client sees it.
    pub took: Duration,
}

impl Outcome {
    pub fn succeeded(&self) -> bool {
        self.job.as_ref().is_ok_and(|job| job.state == "succeeded")
    }
}

/// Submits every email and waits for its job; calls `each` as jobs end, in any order.
pub async fn submit_all(
    client: &Client,
    entries: Vec<Entry>,
    options: Options,
    mut each: impl FnMut(Outcome),
) {
    let bar = ProgressBar::new(entries.len() as u64);
    let style = "{bar:32} {pos}/{len} emails  {msg}";
    bar.set_style(ProgressStyle::with_template(style).expect("a template in our own code parses"));
    let (mut running, mut waiting) = (JoinSet::new(), entries.into_iter().enumerate());
    loop {
        while running.len() < PARALLEL
            && let Some((index, entry)) = waiting.next()
        {
            running.spawn(process(client.clone(), index, entry, options));
        }
        let Some(ended) = running.join_next().await else {
            break;
        };
        let outcome = ended.expect("submitting an email does not panic");
        bar.set_message(
            outcome
                .label
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .to_owned(),
        );
        bar.inc(1);
        bar.suspend(|| each(outcome));
    }
    bar.finish_and_clear();
}

async fn process(client: Client, index: usize, entry: Entry, options: Options) -> Outcome {
    let start = Instant::now();
    let job = match entry.read() {
        Err(error) => Err(error.to_string()),
        Ok(mail) => submit_and_wait(&client, mail, options).await,
    };
    Outcome {
        index,
        label: entry.label(),
        job,
        took: start.elapsed(),
    }
}

async fn submit_and_wait(client: &Client, mail: Vec<u8>, options: Options) -> Result<Job, String> {
    // A new key each time, so that running the command again submits the emails again.
    let key = format!("dev-{}", Uuid::now_v7());
    let job = client
        .submit(mail, &key, options)
        .await
        .map_err(|error| chain(&error))?;
    client
        .finished(&job.id)
        .await
        .map_err(|error| chain(&error))
}
