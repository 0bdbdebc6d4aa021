//! `cargo dev up`: starts the whole system, triages sample emails and shows what to try next. See [`run`].

use crate::approvals;
use crate::client::{Client, ClientError, Options};
use crate::mailbox;
use crate::places::{PlaceError, Places};
use crate::say;
use crate::session::{self, DevSession, MintError};
use crate::signals::Interrupts;
use crate::smtp_sink::SmtpSink;
use crate::stack::{Stack, StackError};
use crate::state::Endpoints;
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
    /// Exit after the samples, with code 1 if one failed, instead of staying up.
    #[arg(long)]
    once: bool,
    /// Do not submit the sample emails.
    #[arg(long)]
    no_samples: bool,
    /// Approve everything that needs approval, and show the results.
    #[arg(long)]
    approve: bool,
    /// Address of the API; a free port of 127.0.0.1 by default.
    #[arg(long, value_name = "ADDR:PORT")]
    api_addr: Option<SocketAddr>,
}

/// The system could not be started, or failed.
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
    #[error("could not start the local mail server")]
    Sink(#[source] io::Error),
    #[error("could not list or decide the approvals")]
    Approvals(#[source] ClientError),
}

/// Starts everything, submits the samples, prints their results and stays up until it is stopped.
///
/// # Errors
/// If a step fails or a process ends by itself; everything is stopped then.
pub async fn run(args: UpArgs) -> Result<u8, UpError> {
    let places = Places::of_this_workspace()?;
    let mut interrupts = Interrupts::catch().map_err(UpError::Signals)?;
    let started = tokio::select! {
        started = Stack::start(&places, args.api_addr) => started,
        signal = interrupts.next() => {
            eprintln!("{signal} received while starting; stopped.");
            return Ok(130);
        }
    };
    let mut stack = started?;
    let sink = SmtpSink::start().await.map_err(UpError::Sink)?;
    let endpoints = stack.endpoints().clone();
    let ended = tokio::select! {
        ended = show(&places, &endpoints, &args, &sink) => ended,
        error = stack.broken() => Err(error.into()),
        signal = interrupts.next() => {
            eprintln!("{signal} received; stopping …");
            Ok(Some(130))
        }
    };
    let code = match ended {
        Ok(Some(code)) => Ok(code),
        Ok(None) => tokio::select! {
            error = stack.broken() => Err(error.into()),
            signal = interrupts.next() => {
                eprintln!("{signal} received; stopping …");
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

/// Triages the samples and prints the results. Returns an exit code, or none to stay up.
async fn show(
    places: &Places,
    endpoints: &Endpoints,
    args: &UpArgs,
    sink: &SmtpSink,
) -> Result<Option<u8>, UpError> {
    let DevSession { token, jobs } = session::mint(&endpoints.database_url).await?;
    if jobs > 0 && !args.no_samples {
        eprintln!(
            "Found {jobs} jobs of earlier runs; the samples are triaged again (new keys, force=true)."
        );
    }
    let token = Arc::new(token);
    let client = Client::new(&endpoints.api, Arc::clone(&token));
    if client
        .put_rules_if_none(SAMPLE_RULES)
        .await
        .map_err(UpError::Rules)?
    {
        eprintln!("Saved the sample rules; read them with GET /v1/rules.");
    }
    let samples = places.workspace.join("dev/samples");
    // The server runs until the caller ends, so that emails approved by hand are received too.
    approvals::connect(&client, sink, session::OWNER)
        .await
        .map_err(UpError::Approvals)?;
    let mut all_succeeded = true;
    if !args.no_samples {
        let outcomes = submit(&client, &samples).await;
        say::line(table(&outcomes));
        say::line(LEGEND);
        all_succeeded = outcomes.iter().all(Outcome::succeeded);
        let count = outcomes
            .iter()
            .filter(|outcome| outcome.succeeded())
            .count();
        say::line(format!(
            "{count} of {} sample emails succeeded.",
            outcomes.len()
        ));
    }
    approvals::show(&client, sink, args.approve)
        .await
        .map_err(UpError::Approvals)?;
    if args.once {
        return Ok(Some(u8::from(!all_succeeded)));
    }
    say::line(try_next(places, &endpoints.api, &token));
    eprintln!("Logs are in .dev/logs/*.log. Press Ctrl-C to stop everything; the data is kept.");
    Ok(None)
}

async fn submit(client: &Client, samples: &Path) -> Vec<Outcome> {
    let (entries, _) = mailbox::find(&[samples.to_owned()]);
    let entries = entries
        .into_iter()
        .filter(|entry| entry.path.extension().is_some_and(|it| it == "eml"));
    // A second run must triage again instead of showing the earlier results.
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

/// Returns three shell commands that work unchanged.
///
/// The request id is set here, so that the third command can use it; the second one reads the job's id from the output of
/// the first.
fn try_next(places: &Places, api: &str, token: &SessionToken) -> String {
    let (id, mail, job) = (
        Uuid::now_v7().simple(),
        places.workspace.join("dev/samples/question.eml"),
        places.dev.join("job.json"),
    );
    let (mail, job, token) = (mail.display(), job.display(), token.expose());
    format!(
        "
Try it: submit an email, wait for the result, read the audit log.

curl -sS -X POST '{api}/v1/jobs/triage?force=true' -H 'Authorization: Bearer {token}' -H 'Idempotency-Key: {id}' -H 'X-Request-Id: {id}' -H 'Content-Type: message/rfc822' --data-binary '@{mail}' -w '\\n' | tee '{job}'
curl -sS \"{api}/v1/jobs/$(sed -E 's/^\\{{\"id\":\"([^\"]*)\".*/\\1/' '{job}')\" -H 'Authorization: Bearer {token}' -H 'Prefer: wait=25' -w '\\n'
curl -sS '{api}/v1/audit?request_id={id}' -H 'Authorization: Bearer {token}' -w '\\n'
"
    )
}
