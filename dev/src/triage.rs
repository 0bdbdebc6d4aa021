//! `cargo dev triage PATH…`: triages the developer's own emails. See [`run`].

use crate::client::{Client, Options};
use crate::mailbox::{self, Refused};
use crate::places::{PlaceError, Places};
use crate::say;
use crate::session::{self, MintError};
use crate::signals::Interrupts;
use crate::stack::{Stack, StackError};
use crate::state;
use crate::submission::{Outcome, submit_all};
use crate::table::{LEGEND, table};
use clap::{Args, ValueEnum};
use jobs::kinds::triage::Mode;
use serde_json::{Value, json};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Args, Debug)]
pub struct TriageArgs {
    /// Email files (.eml), mbox files, Maildirs, or folders with any of them.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Print one JSON object per line as results arrive, instead of a table.
    #[arg(long)]
    json: bool,
    /// What decides: rules, the model, or both.
    #[arg(long, value_enum, default_value_t = ModeArg::RulesThenLlm)]
    mode: ModeArg,
    /// Triage again even if the same rules have judged the email before.
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum ModeArg {
    RulesThenLlm,
    RulesOnly,
    LlmOnly,
}

/// The emails could not be submitted.
#[derive(Debug, thiserror::Error)]
pub enum TriageError {
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error("could not catch signals")]
    Signals(#[source] io::Error),
    #[error(transparent)]
    Stack(#[from] StackError),
    #[error("could not open a development session")]
    Mint(#[from] MintError),
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::RulesThenLlm => Self::RulesThenLlm,
            ModeArg::RulesOnly => Self::RulesOnly,
            ModeArg::LlmOnly => Self::LlmOnly,
        }
    }
}

/// Submits every email below the paths to a running `up`, else to a system started for it.
///
/// The exit code is 1 if a file was refused or a job failed.
///
/// # Errors
/// If the system cannot be started, or fails.
pub async fn run(args: TriageArgs) -> Result<u8, TriageError> {
    let places = Places::of_this_workspace()?;
    let (entries, refused) = mailbox::find(&args.paths);
    for Refused { path, reason } in &refused {
        eprintln!("{}: {reason}", path.display());
        if args.json {
            say::line(json!({ "path": path, "state": "refused", "error": { "message": reason } }));
        }
    }
    if entries.is_empty() {
        eprintln!("No emails found.");
        return Ok(1);
    }
    let mut interrupts = Interrupts::catch().map_err(TriageError::Signals)?;
    let work = async {
        let Some(endpoints) = state::running(&places) else {
            return start_and_submit(&args, &places, entries).await;
        };
        eprintln!("Using the running system at {}.", endpoints.api);
        let token = Arc::new(session::mint(&endpoints.database_url).await?.token);
        Ok(submit(&args, &Client::new(&endpoints.api, token), entries).await)
    };
    let outcomes = tokio::select! {
        outcomes = work => outcomes?,
        signal = interrupts.next() => {
            eprintln!("{signal} received; stopped. Submitted emails stay in the queue.");
            return Ok(130);
        }
    };
    if !args.json {
        say::line(table(&outcomes));
        say::line(LEGEND);
    }
    let good = outcomes
        .iter()
        .filter(|outcome| outcome.succeeded())
        .count();
    eprintln!(
        "{good} of {} emails succeeded, {} files refused.",
        outcomes.len(),
        refused.len()
    );
    Ok(u8::from(good < outcomes.len() || !refused.is_empty()))
}

async fn start_and_submit(
    args: &TriageArgs,
    places: &Places,
    entries: Vec<mailbox::Entry>,
) -> Result<Vec<Outcome>, TriageError> {
    let mut stack = Stack::start(places, None).await?;
    let token = Arc::new(session::mint(&stack.endpoints().database_url).await?.token);
    let client = Client::new(&stack.endpoints().api, token);
    let outcomes: Result<_, TriageError> = tokio::select! {
        outcomes = submit(args, &client, entries) => Ok(outcomes),
        error = stack.broken() => Err(error.into()),
    };
    let stopped = stack.stop().await;
    let outcomes = outcomes?;
    stopped?;
    Ok(outcomes)
}

async fn submit(args: &TriageArgs, client: &Client, entries: Vec<mailbox::Entry>) -> Vec<Outcome> {
    let options = Options {
        mode: args.mode.into(),
        force: args.force,
    };
    let mut outcomes = Vec::with_capacity(entries.len());
    submit_all(client, entries, options, |outcome| {
        if args.json {
            say::line(as_json(&outcome));
        }
        outcomes.push(outcome);
    })
    .await;
    outcomes
}

fn as_json(outcome: &Outcome) -> Value {
    match &outcome.job {
        Ok(job) => json!({
            "path": outcome.label,
            "job": job.id,
            "state": job.state,
            "result": job.output,
            "error": job.error.as_ref().map(|error| json!({ "code": error.code, "message": error.message })),
        }),
        Err(reason) => {
            json!({ "path": outcome.label, "state": "refused", "error": { "message": reason } })
        }
    }
}
