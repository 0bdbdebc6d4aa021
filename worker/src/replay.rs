//! Runs the model step of a stored job again, with the answers that it got and the code of today: [`replay`].
//!
//! Calls no model and settles nothing: the handler's writes are dropped. Reading memories for the prompt counts as their use.

use crate::handlers::{
    ask::{ModelAccess, RecordedAnswer, RecordedAnswers, ReplayedStep},
    draft::{DraftHandler, DraftMetrics},
    triage::{TriageHandler, TriageMetrics},
};
use base::clock::Clock;
use jobs::{
    domain::draft::Confidence,
    kinds::{draft::DraftGenerate, triage::Triage},
};
use llm::{Fixtures, LlmMetrics, Model, RetryConfig, providers::fixtures::FixtureError};
use queue::{
    Failure, Job, JobKind as _,
    runtime::{
        handler::{JobContext, Registry},
        reporter::Reporter,
        storing::Storing,
    },
};
use serde_json::{Value, json};
use sqlx::PgPool;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The outcome of a replay.
pub struct Replayed {
    /// The job's output as it would be today.
    pub result: Result<Value, Failure>,
    /// The questions that the handler asked, in order.
    pub steps: Vec<ReplayedStep>,
}

/// The job cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("jobs of the kind {kind} ask no model")]
    NoModelStep { kind: String },
    #[error("could not set up the metrics of a replay")]
    Metrics(#[source] prometheus::Error),
    #[error("could not set up the model of a replay")]
    Model(#[source] FixtureError),
}

/// Runs the job's handler on the tables as they are now; `answers` stand in for the model.
///
/// # Errors
/// If jobs of this kind have no model step.
pub async fn replay(
    pool: PgPool,
    mut job: Job,
    answers: Vec<RecordedAnswer>,
    draft_floor: Confidence,
) -> Result<Replayed, ReplayError> {
    let metrics = prometheus::Registry::new();
    // Never asked: the answers stand in for it.
    let unused = Fixtures::from_texts(&[]).map_err(ReplayError::Model)?;
    let model = Model::new(
        unused,
        LlmMetrics::register(&metrics).map_err(ReplayError::Metrics)?,
        Clock::System,
        RetryConfig::default(),
    );
    let answers = RecordedAnswers::new(answers);
    let access = ModelAccess::from(model).answered_by(answers.clone());
    let registry = match job.kind.as_str() {
        Triage::NAME => {
            // The former result of the same rules would be repeated otherwise.
            job.args["force"] = json!(true);
            let metrics = TriageMetrics::register(&metrics).map_err(ReplayError::Metrics)?;
            Registry::default().with(TriageHandler::new(access, metrics))
        }
        DraftGenerate::NAME => {
            let metrics = DraftMetrics::register(&metrics).map_err(ReplayError::Metrics)?;
            Registry::default().with(DraftHandler::new(access, draft_floor, metrics))
        }
        _ => return Err(ReplayError::NoModelStep { kind: job.kind }),
    };
    let cancelled = CancellationToken::new();
    let handler = registry.get(&job.kind).cloned();
    let ctx = JobContext {
        progress: Reporter::new(pool.clone(), job.lease, cancelled.clone()),
        job: Arc::new(job),
        pool,
        clock: Clock::System,
        cancelled,
        storing: Storing::default(),
    };
    let result = match handler {
        Some(handler) => handler.run(&ctx).await,
        None => {
            let kind = ctx.job.kind.clone();
            return Err(ReplayError::NoModelStep { kind });
        }
    };
    Ok(Replayed {
        result: result.map(|settlement| settlement.output),
        steps: answers.steps(),
    })
}
