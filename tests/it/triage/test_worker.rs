//! [`TestWorker`]: one tenant, the triage handler, and a scripted model. An attempt is run and settled the way
//! the worker does it, but step by step, so that a test can stop in between.

use crate::support::{claim::claim_job, people::TestTenant};
use async_trait::async_trait;
use base::{JobId, clock::Clock};
use chrono::{DateTime, Utc};
use jobs::{
    commands::rules::put_rules,
    domain::{
        MessageId,
        llm::urgency::Urgency,
        mail::{Mail, MailFormat},
    },
    kinds::triage::{Args, Mode, Output, Triage},
    store::{messages, rule_sets},
};
use llm::{
    FinishReason, LlmError, LlmMetrics, LlmProvider, Model, RetryConfig, TokenUsage,
    provider::{AttemptInfo, AttemptRequest, Reply},
};
use queue::runtime::{
    handler::{Handler, JobContext, Settlement},
    reporter::Reporter,
    storing::Storing,
};
use queue::{Enqueued, Failure, Job, JobKind, NewJob, Outcome, enqueue::enqueue, settle};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio_util::sync::CancellationToken;
use worker::handlers::triage::{TriageHandler, TriageMetrics};

/// What the model does at one call.
pub(crate) enum ModelTurn {
    Says(String),
    Fails(fn() -> LlmError),
    /// Says this, but by then the job's lease is lost.
    LosesTheLease(String),
}

/// The model: its turns in their order, then refusals.
struct Scripted {
    turns: Mutex<VecDeque<ModelTurn>>,
    calls: Arc<AtomicUsize>,
    pool: sqlx::PgPool,
}

#[async_trait]
impl LlmProvider for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn model(&self) -> &str {
        "script-1"
    }

    async fn attempt(
        &self,
        _: &AttemptRequest<'_>,
        _: &mut AttemptInfo,
    ) -> Result<Reply, LlmError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let turn = self.turns.lock().unwrap().pop_front();
        let text = match turn {
            Some(ModelTurn::Says(text)) => text,
            Some(ModelTurn::Fails(error)) => return Err(error()),
            Some(ModelTurn::LosesTheLease(text)) => {
                sqlx::raw_sql("update jobs set attempt = attempt + 1")
                    .execute(&self.pool)
                    .await
                    .unwrap();
                text
            }
            None => {
                return Err(LlmError::Refused {
                    reason: "script ended",
                });
            }
        };
        let usage = TokenUsage {
            input: 400,
            output: 40,
            ..TokenUsage::default()
        };
        Ok(Reply {
            text,
            model: "script-1".into(),
            usage,
            finish: FinishReason::Stop,
        })
    }
}

/// See the module.
pub(crate) struct TestWorker {
    pub(crate) acme: TestTenant,
    pub(crate) metrics: prometheus::Registry,
    handler: TriageHandler,
    calls: Arc<AtomicUsize>,
    now: DateTime<Utc>,
}

impl TestWorker {
    /// A tenant on training wheels with these rules, if any.
    pub(crate) async fn open(
        rules: Option<&str>,
        turns: impl IntoIterator<Item = ModelTurn>,
    ) -> Self {
        let acme = TestTenant::open().await;
        if let Some(yaml) = rules {
            put_rules(acme.db.pool(), &acme.owner, None, yaml, None)
                .await
                .unwrap();
        }
        let metrics = prometheus::Registry::new();
        let calls = Arc::new(AtomicUsize::new(0));
        let provider = Scripted {
            turns: Mutex::new(turns.into_iter().collect()),
            calls: Arc::clone(&calls),
            pool: acme.db.pool().clone(),
        };
        let once = RetryConfig {
            max_tries: 1,
            ..RetryConfig::default()
        };
        let model = Model::new(
            provider,
            LlmMetrics::register(&metrics).unwrap(),
            Clock::System,
            once,
        );
        let handler = TriageHandler::new(model, TriageMetrics::register(&metrics).unwrap());
        Self {
            acme,
            metrics,
            handler,
            calls,
            now: Clock::System.now(),
        }
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// How far the tenant trusts the assistant from now on.
    pub(crate) async fn trust(&self, mode: &str) {
        self.acme
            .db
            .execute(&format!("update tenants set trust_mode = '{mode}'"))
            .await;
    }

    /// Hands the email in; `change` sees the job's arguments before they are written.
    pub(crate) async fn submit(&self, raw: &[u8], change: impl FnOnce(&mut Args)) -> JobId {
        let mut conn = self.acme.db.pool().acquire().await.unwrap();
        let tenant = self.acme.owner.tenant;
        let mut args = Args {
            message_id: MessageId::new(),
            mode: Mode::RulesThenLlm,
            dry_run: false,
            force: false,
            ruleset_version: rule_sets::active_version(&mut conn, tenant).await.unwrap(),
            api_key: None,
            urgency: Urgency::Now,
        };
        change(&mut args);
        let message = messages::NewMessage {
            tenant,
            id: args.message_id,
            format: MailFormat::Rfc822,
            source: raw,
            content_hash: Mail::parse(raw)
                .map(|mail| mail.content_hash())
                .unwrap_or_default(),
        };
        messages::insert(&mut conn, &[message]).await.unwrap();
        let job = NewJob {
            request_id: Some("req-triage".into()),
            ..NewJob::of::<Triage>(tenant, &args).unwrap()
        };
        match enqueue(&mut conn, &job).await.unwrap() {
            Enqueued::Inserted(id)
            | Enqueued::Existing(id)
            | Enqueued::Replacing { job: id, .. } => id,
        }
    }

    /// Takes the one job that waits.
    pub(crate) async fn claim(&self) -> Job {
        claim_job(&self.acme.db, (Triage::QUEUE, Triage::NAME)).await
    }

    /// The handler's part of an attempt: nothing of it is settled.
    pub(crate) async fn attempt(&self, job: &Job) -> Result<Settlement, Failure> {
        let ctx = JobContext {
            job: Arc::new(job.clone()),
            pool: self.acme.db.pool().clone(),
            clock: Clock::fixed(self.now),
            cancelled: CancellationToken::new(),
            progress: Reporter::new(
                self.acme.db.pool().clone(),
                job.lease,
                CancellationToken::new(),
            ),
            storing: Storing::default(),
        };
        let args = serde_json::from_value(job.args.clone()).unwrap();
        self.handler.run(&ctx, args).await
    }

    /// The worker's part: outcome and writes in one transaction.
    pub(crate) async fn settle(
        &self,
        job: &Job,
        settlement: &Settlement,
    ) -> Result<Output, sqlx::Error> {
        let mut tx = self.acme.db.pool().begin().await?;
        let outcome = Outcome::Succeeded {
            output: settlement.output.clone(),
        };
        settle::settle(&mut tx, job.lease, &outcome, None)
            .await
            .unwrap();
        let writes = settlement.writes.as_deref().expect("a triage writes");
        writes.apply(&mut tx, job).await?;
        tx.commit().await?;
        writes.committed();
        Ok(serde_json::from_value(settlement.output.clone()).unwrap())
    }

    /// Submit, claim, attempt, settle.
    pub(crate) async fn triage(&self, raw: &[u8], change: impl FnOnce(&mut Args)) -> Output {
        self.submit(raw, change).await;
        let job = self.claim().await;
        let settlement = self
            .attempt(&job)
            .await
            .unwrap_or_else(|failure| panic!("{failure}"));
        self.settle(&job, &settlement).await.unwrap()
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        self.acme.db.one(sql).await
    }

    /// The names of all audit entries of triage, in their order.
    pub(crate) async fn audited(&self) -> String {
        self.acme
            .db
            .one::<String>(
                "select coalesce(string_agg(action, ' ' order by id), '') from audit_entries
                 where action ~ '^(triage|llm|action|approval)[.]'",
            )
            .await
    }
}
