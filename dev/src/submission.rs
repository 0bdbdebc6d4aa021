//! Many mails through the API at once, with a progress bar. See [`submit_all`].

use crate::client::{Client, Job, Options};
use crate::mailbox::Entry;
use base::telemetry::chain;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use uuid::Uuid;

/// Enough to keep a worker busy, few enough that nobody is starved.
const AT_ONCE: usize = 8;

/// What became of one mail.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The mail's number among those handed in.
    pub index: usize,
    pub label: String,
    /// The job in its last state, or why there is none.
    pub job: Result<Job, String>,
    /// From handing it in to its end, as a client sees it.
    pub took: Duration,
}

impl Outcome {
    pub fn succeeded(&self) -> bool {
        self.job.as_ref().is_ok_and(|job| job.state == "succeeded")
    }
}

/// Hands in every mail and waits for its job; `each` is called as they end, in any order.
pub async fn submit_all(
    client: &Client,
    entries: Vec<Entry>,
    options: Options,
    mut each: impl FnMut(Outcome),
) {
    let bar = ProgressBar::new(entries.len() as u64);
    let style = "{bar:32} {pos}/{len} mails  {msg}";
    bar.set_style(ProgressStyle::with_template(style).expect("a template in our own code parses"));
    let (mut running, mut waiting) = (JoinSet::new(), entries.into_iter().enumerate());
    loop {
        while running.len() < AT_ONCE
            && let Some((index, entry)) = waiting.next()
        {
            running.spawn(one(client.clone(), index, entry, options));
        }
        let Some(ended) = running.join_next().await else {
            break;
        };
        let outcome = ended.expect("handing in a mail does not panic");
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

async fn one(client: Client, index: usize, entry: Entry, options: Options) -> Outcome {
    let start = Instant::now();
    let job = match entry.read() {
        Err(error) => Err(error.to_string()),
        Ok(mail) => through(&client, mail, options).await,
    };
    Outcome {
        index,
        label: entry.label(),
        job,
        took: start.elapsed(),
    }
}

async fn through(client: &Client, mail: Vec<u8>, options: Options) -> Result<Job, String> {
    // A new key each time: a person who runs the command again wants to see it work again.
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
