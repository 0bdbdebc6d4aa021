//! `cargo dev eval DIR`: judges labelled emails with the configured model and compares. See [`run`].
//!
//! Reads the variables of the worker's model and needs no database: guards, prompt, checks and merge are the worker's own.

mod decision;
mod labels;
mod report;

use crate::say;
use crate::signals::Interrupts;
use base::env::{ConfigError, Env};
use clap::Args;
use decision::MinAccuracy;
use indicatif::{ProgressBar, ProgressStyle};
use jobs::domain::llm::ModelName;
use labels::{LabelledEmail, LabelsError};
use llm::{LlmError, config::ModelError};
use report::{JudgedEmail, Report};
use std::io;
use std::path::PathBuf;
use tokio::task::{JoinError, JoinSet};
use worker::config::ModelConfig;
use worker::handlers::ask::ModelAccess;
use worker::handlers::triage::evaluate::evaluate;

#[derive(Args, Debug)]
pub struct EvalArgs {
    /// A folder with emails (.eml) and their labels in `labels.json`.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Fail if a smaller share of the emails is judged as labelled: 0.9 for each decision, category=0.9 for one.
    #[arg(long, value_name = "[DECISION=]SHARE")]
    min_accuracy: Vec<MinAccuracy>,
    /// Emails that are judged at the same time.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    parallel: u16,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
}

/// The emails could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    #[error(transparent)]
    Labels(#[from] LabelsError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("could not set up the model")]
    Model(#[source] ModelError),
    #[error("could not catch signals")]
    Signals(#[source] io::Error),
    /// Every further request would be rejected as well.
    #[error("stopped: the model will reject the other emails too")]
    Rejected(#[source] LlmError),
    #[error("judging an email panicked")]
    Panicked(#[source] JoinError),
}

/// Judges every labelled email of the folder and prints what differs, and what it cost.
///
/// The exit code is 1 if an email got no answer or an accuracy is below the wanted one.
///
/// # Errors
/// If the labels, the configuration or the model is unusable.
pub async fn run(args: EvalArgs) -> Result<u8, EvalError> {
    let emails = labels::read(&args.folder)?;
    let config = ModelConfig::from_env(Env::from_process())?;
    let access = ModelAccess::of_config(&config).map_err(EvalError::Model)?;
    let ModelName { provider, model } = access.name();
    eprintln!("Judging {} emails with {provider}/{model}.", emails.len());
    let mut interrupts = Interrupts::catch().map_err(EvalError::Signals)?;
    let judged = tokio::select! {
        judged = judge_all(&access, emails, args.parallel.into()) => judged?,
        signal = interrupts.next() => {
            eprintln!("{signal} received; stopped. Requests that were sent are paid for.");
            return Ok(130);
        }
    };
    let report = Report::new(access.name(), config.prices.as_of, judged);
    if args.json {
        say::line(report.as_json());
    } else {
        say::line(&report);
    }
    let shortfalls = report.shortfalls(&args.min_accuracy);
    for shortfall in &shortfalls {
        eprintln!("{shortfall}");
    }
    Ok(u8::from(report.unanswered() > 0 || !shortfalls.is_empty()))
}

/// Judges up to `parallel` emails at a time; returns them in the order of their labels.
async fn judge_all(
    access: &ModelAccess,
    emails: Vec<LabelledEmail>,
    parallel: usize,
) -> Result<Vec<JudgedEmail>, EvalError> {
    let bar = ProgressBar::new(emails.len() as u64);
    let style = ProgressStyle::with_template("{bar:32} {pos}/{len} emails");
    bar.set_style(style.expect("a template in our own code parses"));
    let (mut running, mut waiting) = (JoinSet::new(), emails.into_iter().enumerate());
    let mut judged = Vec::new();
    loop {
        while running.len() < parallel
            && let Some((index, email)) = waiting.next()
        {
            let access = access.clone();
            running.spawn(async move {
                let evaluation = evaluate(&access, email.email).await;
                let label = email.label;
                (index, JudgedEmail { label, evaluation })
            });
        }
        let Some(ended) = running.join_next().await else {
            break;
        };
        let (index, mut email) = ended.map_err(EvalError::Panicked)?;
        bar.inc(1);
        if let Some(error) = email.evaluation.failure.take_if(|error| rejects_all(error)) {
            return Err(EvalError::Rejected(error));
        }
        judged.push((index, email));
    }
    bar.finish_and_clear();
    judged.sort_by_key(|(index, _)| *index);
    Ok(judged.into_iter().map(|(_, email)| email).collect())
}

/// Returns whether the failure says that no other request will be answered.
const fn rejects_all(error: &LlmError) -> bool {
    matches!(
        error,
        LlmError::Auth { .. } | LlmError::BadRequest { .. } | LlmError::QuotaExhausted { .. }
    )
}
