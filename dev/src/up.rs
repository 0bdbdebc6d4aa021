//! `cargo dev up`: the whole system, sample mails through it, and what to try next. See [`run`].

use crate::approvals;
use crate::client::{Client, ClientError, Options};
use crate::mailbox;
use crate::places::{PlaceError, Places};
use crate::say;
use crate::session::{self, MintError, Minted};
use crate::signals::Interrupts;
use crate::smtp_sink::SmtpSink;
use crate::stack::{Stack, StackError};
use crate::state::Reach;
use crate::submission::{Outcome, submit_all};
use crate::table::{LEGEND, table};
use clap::Args;
use jobs::domain::SessionToken;
use jobs::domain::rules::SAMPLE_RULES;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;

#[derive(Args, Debug)]
pub struct UpArgs {
    /// Exit after the samples instead of staying up; with 1 if one did not succeed.
    #[arg(long)]
    once: bool,
    /// Do not submit the sample mails.
    #[arg(long)]
    no_samples: bool,
    /// Agree to everything that waits for a person, and show what came of it.
    #[arg(long)]
    approve: bool,
    /// Where the API listens; a free port of 127.0.0.1 if not given.
    #[arg(long, value_name = "ADDR:PORT")]
    api_addr: Option<SocketAddr>,
}

/// The system could not be brought up, or broke.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error("could not catch signals")]
    Signals(#[source] io::Error),
    #[error(transparent)]
    Stack(#[from] StackError),
    #[error("could not open a development session")]
    Mint(#[from] MintError),
    #[error("could not save the sample rules")]
    Rules(#[source] ClientError),
    #[error("could not open a mail server for the developer's mail")]
    Sink(#[source] io::Error),
    #[error("could not show what waits for a person")]
    Approvals(#[source] ClientError),
}

/// Brings everything up, submits the samples, prints their results and stays until it is told to stop.
///
/// # Errors
/// When a step fails or one of the processes ends by itself; nothing is left running.
pub async fn run(args: UpArgs) -> Result<u8, UpError> {
    let places = Places::of_this_workspace()?;
    let mut interrupts = Interrupts::catch().map_err(UpError::Signals)?;
    let started = tokio::select! {
        started = Stack::start(&places, args.api_addr) => started,
        signal = interrupts.next() => {
            eprintln!("{signal}: stopped while starting");
            return Ok(130);
        }
    };
    let mut stack = started?;
    let sink = SmtpSink::start().await.map_err(UpError::Sink)?;
    let reach = stack.reach().clone();
    let ended = tokio::select! {
        ended = show(&places, &reach, &args, &sink) => ended,
        error = stack.broken() => Err(error.into()),
        signal = interrupts.next() => {
            eprintln!("{signal}: stopping …");
            Ok(Some(130))
        }
    };
    let code = match ended {
        Ok(Some(code)) => Ok(code),
        Ok(None) => tokio::select! {
            error = stack.broken() => Err(error.into()),
            signal = interrupts.next() => {
                eprintln!("{signal}: stopping …");
                Ok(0)
            }
        },
        Err(error) => Err(error),
    };
    let stopped = stack.stop().await;
    let code = code?;
    stopped?;
    Ok(code)
}

/// The samples and their results. An exit code, or none if the system is to stay up.
async fn show(
    places: &Places,
    reach: &Reach,
    args: &UpArgs,
    sink: &SmtpSink,
) -> Result<Option<u8>, UpError> {
    let Minted { token, jobs } = session::mint(&reach.database_url).await?;
    if jobs > 0 {
        eprintln!(
            "Found {jobs} jobs of earlier runs; the samples are judged again (new keys, force=true)."
        );
    }
    let token = Arc::new(token);
    let client = Client::new(&reach.api, Arc::clone(&token));
    if client
        .put_rules_if_none(SAMPLE_RULES)
        .await
        .map_err(UpError::Rules)?
    {
        eprintln!("Saved the sample rules for the tenant (GET /v1/rules shows them).");
    }
    let samples = places.workspace.join("dev/samples");
    // It ends with this function's caller: mail that is approved by hand must still arrive.
    approvals::connect(&client, sink, session::OWNER)
        .await
        .map_err(UpError::Approvals)?;
    let mut good = true;
    if !args.no_samples {
        let outcomes = submit(&client, &samples).await;
        say::line(table(&outcomes));
        say::line(LEGEND);
        good = outcomes.iter().all(Outcome::succeeded);
        let count = outcomes
            .iter()
            .filter(|outcome| outcome.succeeded())
            .count();
        say::line(format!(
            "{count} of {} sample mails succeeded.",
            outcomes.len()
        ));
    }
    approvals::show(&client, sink, args.approve)
        .await
        .map_err(UpError::Approvals)?;
    if args.once {
        return Ok(Some(u8::from(!good)));
    }
    say::line(try_next(places, &reach.api, &token));
    eprintln!("Logs: .dev/logs/*.log. Ctrl-C stops everything; the data stays.");
    Ok(None)
}

async fn submit(client: &Client, samples: &Path) -> Vec<Outcome> {
    let (entries, _) = mailbox::find(&[samples.to_owned()]);
    let entries = entries
        .into_iter()
        .filter(|entry| entry.path.extension().is_some_and(|it| it == "eml"));
    // The second run would be shown what the first one found; it is to be worked out again.
    let options = Options {
        force: true,
        ..Options::default()
    };
    let mut outcomes = Vec::new();
    submit_all(client, entries.collect(), options, |outcome| {
        outcomes.push(outcome);
    })
    .await;
    outcomes
}

/// Three lines for a shell, each working as it stands.
///
/// The request is named here, so that the third line can ask for it; the job's id is only known when the first line
/// has been run.
fn try_next(places: &Places, api: &str, token: &SessionToken) -> String {
    let (id, mail, job) = (
        Uuid::now_v7().simple(),
        places.workspace.join("dev/samples/question.eml"),
        places.dev.join("job.json"),
    );
    let (mail, job, token) = (mail.display(), job.display(), token.expose());
    format!(
        "
Try it: submit a mail, wait for what becomes of it, read what was recorded about it.

curl -sS -X POST '{api}/v1/jobs/triage?force=true' -H 'Authorization: Bearer {token}' -H 'Idempotency-Key: {id}' -H 'X-Request-Id: {id}' -H 'Content-Type: message/rfc822' --data-binary '@{mail}' -w '\\n' | tee '{job}'
curl -sS \"{api}/v1/jobs/$(sed -E 's/^\\{{\"id\":\"([^\"]*)\".*/\\1/' '{job}')\" -H 'Authorization: Bearer {token}' -H 'Prefer: wait=25' -w '\\n'
curl -sS '{api}/v1/audit?request_id={id}' -H 'Authorization: Bearer {token}' -w '\\n'
"
    )
}
