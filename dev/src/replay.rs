//! `cargo dev replay JOB`: runs the model step of a stored job with the answers that it got and the code of today, and prints
//! what would be different. See [`run`].

mod difference;

use crate::config::Config;
use crate::database;
use crate::say;
use base::{
    JobId,
    db::{self, DbError, PoolConfig},
    env::{ConfigError, Env},
    hex,
    telemetry::chain,
};
use clap::Args;
use difference::differences;
use jobs::{domain::draft::Confidence, store::llm_checkpoints};
use queue::view::replay::{StoredJob, find};
use sqlx::PgPool;
use std::path::{Path, PathBuf};
use worker::{
    config::RECORD,
    handlers::ask::{RecordedAnswer, ReplayedAnswer, ReplayedStep},
    recording::{RecordingError, of_job},
    replay::{ReplayError, Replayed, replay},
};

#[derive(Args, Debug)]
pub struct ReplayArgs {
    /// The job's id.
    #[arg(value_name = "JOB")]
    job: JobId,
    /// Where its exchanges were recorded, the worker's folder if not given. Without recorded ones, the answers that the
    /// database keeps until a job ends are used.
    #[arg(long, value_name = "DIR")]
    recorded: Option<PathBuf>,
}

/// The job could not be replayed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Database(#[from] database::DatabaseError),
    #[error(transparent)]
    Connect(#[from] DbError),
    #[error("could not read the job")]
    Read(#[from] sqlx::Error),
    #[error("no job has the id {0}")]
    UnknownJob(JobId),
    #[error("could not read the recorded exchanges")]
    Recorded(#[from] RecordingError),
    #[error(
        "no answer of this job is stored: they are deleted when a job ends, so record them with LLM_RECORD_DIR and name the folder with --recorded"
    )]
    NoAnswers,
    #[error(transparent)]
    Replay(#[from] ReplayError),
}

/// Replays the job against the database of `DATABASE_URL`, the running system's, or the development database.
///
/// The exit code is 1 if the outcome differs from the stored one.
///
/// # Errors
/// If the job or its answers cannot be read.
pub async fn run(args: ReplayArgs) -> Result<u8, CommandError> {
    let mut env = Env::from_process();
    let folder = args.recorded.or(env.optional(RECORD).map(PathBuf::from));
    env.finish(())?;
    // Its Postgres, if it was started for this command, stops with it.
    let (url, _database) = match Config::from_process()?.database_url {
        Some(url) => (url, None),
        None => {
            let database = database::find().await?;
            (database.url.clone(), Some(database))
        }
    };
    let pool = db::connect(&PoolConfig::new(url, "postroom-dev")).await?;
    let mut conn = pool.acquire().await?;
    let stored = find(&mut conn, args.job).await?;
    drop(conn);
    let stored = stored.ok_or(CommandError::UnknownJob(args.job))?;
    let answers = answers(&pool, folder.as_deref(), &stored).await?;
    let StoredJob {
        job,
        state,
        output,
        error_code,
    } = stored;
    say::line(format!(
        "{} {}, {} answers",
        job.kind,
        state.as_str(),
        answers.len()
    ));
    let replayed = Box::pin(replay(pool, job, answers, Confidence::Medium)).await?;
    let Replayed { result, steps } = replayed;
    for ReplayedStep { step, answer } in steps {
        say::line(format!("{step}: {}", described(answer)));
    }
    let lines = match (result, output) {
        (Ok(new), Some(old)) => differences(&old, &new),
        (Ok(new), None) => vec![format!(
            "was: {}\nis: {new}",
            error_code.as_deref().unwrap_or("no outcome yet")
        )],
        (Err(failure), _) if error_code.as_deref() == Some(failure.code) => Vec::new(),
        (Err(failure), old) => vec![format!(
            "was: {}\nis: {} ({})",
            error_code
                .unwrap_or_else(|| old.map_or("no outcome yet".into(), |old| old.to_string())),
            failure.code,
            failure.detail,
        )],
    };
    if lines.is_empty() {
        say::line("The outcome is the same.");
    }
    for line in &lines {
        say::line(line);
    }
    Ok(u8::from(!lines.is_empty()))
}

/// Reads the recorded answers of the job, else those that the database still has.
async fn answers(
    pool: &PgPool,
    folder: Option<&Path>,
    stored: &StoredJob,
) -> Result<Vec<RecordedAnswer>, CommandError> {
    let id = stored.job.lease.job;
    let recorded = match folder {
        Some(folder) => of_job(folder, id.0)?,
        None => Vec::new(),
    };
    let mut answers: Vec<_> = recorded
        .into_iter()
        .filter_map(RecordedAnswer::of)
        .collect();
    if answers.is_empty() {
        let mut conn = pool.acquire().await?;
        let kept = llm_checkpoints::of_job(&mut conn, stored.job.lease.tenant, id).await?;
        for checkpoint in kept {
            match serde_json::from_value(checkpoint.completion) {
                Ok(completion) => answers.push(RecordedAnswer {
                    step: checkpoint.step,
                    prompt_sha256: hex(&checkpoint.request_hash),
                    completion,
                }),
                Err(error) => {
                    let (step, error) = (checkpoint.step, chain(&error));
                    eprintln!(
                        "The stored answer to {step} cannot be read by this version: {error}"
                    );
                }
            }
        }
    }
    if answers.is_empty() {
        return Err(CommandError::NoAnswers);
    }
    Ok(answers)
}

const fn described(answer: ReplayedAnswer) -> &'static str {
    match answer {
        ReplayedAnswer::SamePrompt => "answered as then, to the same prompt",
        ReplayedAnswer::OtherPrompt => "answered as then, but today's prompt is another one",
        ReplayedAnswer::Missing => "asked by today's code only, so there is no answer",
    }
}
