//! The worker's configuration from the environment: [`WorkerConfig`]. Reports all faults together.

use crate::{
    prompts::TASKS,
    providers::guard::Guard,
    shadow::{self, ShadowConfig},
    watch::WatchConfig,
};
use base::{
    db::{self, PoolConfig},
    env::{self, ConfigError, Env, UnknownVariable, Variable},
    telemetry::{self, TelemetryConfig, chain},
};
use jobs::{
    domain::{
        draft::Confidence,
        llm::{LanePolicy, rate::Rate},
    },
    secrets::{self, KeyRing},
};
use llm::{LlmConfig, Naming, Prices};
use queue::runtime::RuntimeConfig;
use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

const OPS_ADDR: Variable = Variable::with_default(
    "WORKER_OPS_ADDR",
    "127.0.0.1:9102",
    "The address that serves operators: `/metrics`, `/livez`, `/readyz`",
);
const SLOTS: Variable = Variable::with_default(
    "WORKER_SLOTS",
    "16",
    "Jobs of one queue that run at the same time in this process, 1 to 10000",
);
const LEASE: Variable = Variable::with_default(
    "WORKER_LEASE_SECONDS",
    "30",
    "How long a silent worker keeps its jobs; a lease is renewed about three times in that time",
);
const GRACE: Variable = Variable::with_default(
    "WORKER_GRACE_SECONDS",
    "25",
    "How long running jobs may go on after SIGTERM",
);
const POLL: Variable = Variable::with_default(
    "WORKER_POLL_SECONDS",
    "2",
    "How often the worker polls a queue without a notification",
);
const RETENTION: Variable = Variable::with_default(
    "JOB_RETENTION_SECONDS",
    "2592000",
    "How long finished jobs are kept; at least 3600, except with `LLM_TESTING_MODE=true`",
);
const DRAFT_FLOOR: Variable = Variable::with_default(
    "DRAFT_MIN_CONFIDENCE",
    "medium",
    "The confidence (`medium`, `high`) below which a draft is not kept: its questions go to the inbox instead",
);
const PRICES: Variable = Variable::optional(
    "LLM_PRICES_FILE",
    "/etc/postroom/prices.json",
    "shipped prices",
    "Other prices of models, a JSON file as docs/operations.md shows it; budgets and costs follow them",
);
const PROBE: Variable = Variable::with_default(
    "LLM_PROBE_SECONDS",
    "60",
    "The longest time between two requests to a model that is unavailable, by all workers together",
);
const REQUEST_RATE: Variable = Variable::optional(
    "LLM_REQUESTS_PER_MINUTE",
    "500",
    "no limit",
    "The most requests to each model in a minute, by all workers together; jobs beyond it wait for their turn",
);
const TOKEN_RATE: Variable = Variable::optional(
    "LLM_TOKENS_PER_MINUTE",
    "200000",
    "no limit",
    "The most tokens of each model in a minute, estimated before a request and corrected by its usage; at least 1000",
);
const BATCH: Variable = Variable::with_default(
    "LLM_BATCH_SECONDS",
    "60",
    "How long requests that can wait (`urgency: whenever`) are gathered for a batch of the provider, and how often it is looked at; at most 3600",
);
const CALL_RETENTION: Variable = Variable::with_default(
    "LLM_CALL_RETENTION_DAYS",
    "400",
    "How long the record of each request to a model is kept, 32 to 3650 days; usage is summed from it",
);
/// Where exchanges with the model are written, and read by `cargo dev replay`.
pub const RECORD: Variable = Variable::optional(
    "LLM_RECORD_DIR",
    "/tmp/exchanges",
    "off",
    "A folder for one file per question to the model, with prompt and answer; needs `LLM_TESTING_MODE=true` or `POSTROOM_ENV=development`",
);
const WATCH_POLL: Variable = Variable::with_default(
    "WATCH_POLL_SECONDS",
    "60",
    "How often each watched folder is checked; servers with IDLE report new emails of the inbox sooner",
);
const WATCH_ACCOUNTS: Variable = Variable::with_default(
    "WATCH_ACCOUNTS",
    "200",
    "Watched mailboxes that this process reads at the same time, each in one session; 0 reads none",
);
const FETCHED_RETENTION: Variable = Variable::with_default(
    "FETCHED_EMAIL_RETENTION_DAYS",
    "400",
    "How long Postroom remembers which emails of a mailbox it has read, 32 to 3650 days; watches read no older ones",
);
const SMTP_HELO_NAME: Variable = Variable::optional(
    "SMTP_HELO_NAME",
    "postroom.example.org",
    "the domain of the sender's address",
    "The host name, or the address in brackets, that the worker greets mail servers with (EHLO); some refuse a name that they cannot resolve",
);
const ALLOW_PRIVATE: Variable = Variable::switch(
    "OUTBOUND_ALLOW_PRIVATE",
    "Connections may lead to private addresses and to this machine, and need not be encrypted",
);

/// What only the worker reads, beside the variables of its model.
pub const VARIABLES: &[Variable] = &[
    OPS_ADDR,
    SLOTS,
    LEASE,
    GRACE,
    POLL,
    RETENTION,
    DRAFT_FLOOR,
    PRICES,
    PROBE,
    REQUEST_RATE,
    TOKEN_RATE,
    BATCH,
    CALL_RETENTION,
    RECORD,
    shadow::SHARE,
    shadow::PROMPT,
    WATCH_POLL,
    WATCH_ACCOUNTS,
    FETCHED_RETENTION,
    SMTP_HELO_NAME,
    ALLOW_PRIVATE,
];

/// The worker's configuration; docs/configuration.md has the table of variables.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    pub pool: PoolConfig,
    /// A direct connection to the same database for LISTEN, which does not work through a transaction pooler.
    pub listen: PoolConfig,
    pub ops_addr: SocketAddr,
    pub runtime: RuntimeConfig,
    /// Retention of finished jobs.
    pub retention: Duration,
    pub llm: LlmConfig,
    /// The version of OpenTelemetry's names for calls to the model.
    pub naming: Naming,
    pub prices: Prices,
    /// How often a model that is unavailable is asked.
    pub lanes: LanePolicy,
    /// How often a model is asked at most.
    pub rate: Rate,
    /// How long requests are gathered for a batch, and how often a batch is looked at.
    pub batch_every: Duration,
    /// Retention of the records of requests to a model, in days.
    pub call_retention_days: i32,
    /// Where exchanges with the model are written, in development.
    pub record: Option<PathBuf>,
    /// Which judgements are compared with those of a second model or prompt.
    pub shadow: ShadowConfig,
    /// Below this confidence, a draft becomes open questions.
    pub draft_floor: Confidence,
    pub watch: WatchConfig,
    /// Decrypt the secrets of connections; without keys, connections are unusable.
    pub keys: Option<KeyRing>,
    /// The addresses that connections may reach.
    pub guard: Guard,
    /// The name that mail servers are greeted with, if it is not the domain of the sender's address.
    pub smtp_helo_name: Option<String>,
    pub telemetry: TelemetryConfig,
    /// What is set and not read here: perhaps misspelt.
    pub unknown: Vec<UnknownVariable>,
}

impl WorkerConfig {
    /// Reads and checks all variables.
    ///
    /// # Errors
    /// All faults together, each naming its variable.
    pub fn from_env(mut env: Env) -> Result<Self, ConfigError> {
        env.refuse_dev_mode();
        let pool = PoolConfig::from_env(&mut env, "postroom-worker");
        let listen = pool.for_listening(&mut env);
        let slots: u32 = env.parse(SLOTS, "a number of jobs");
        if !(1..=10_000).contains(&slots) {
            env.fault(SLOTS, "is not between 1 and 10000");
        }
        let llm = LlmConfig::from_env(&mut env, &TASKS);
        let config = Self {
            pool,
            listen,
            ops_addr: env.parse(OPS_ADDR, "an IP address and a port"),
            runtime: RuntimeConfig {
                slots,
                lease: env.seconds(LEASE),
                grace: env.seconds(GRACE),
                poll: env.seconds(POLL),
            },
            retention: retention(&mut env, &llm),
            record: record(&mut env, &llm),
            shadow: ShadowConfig::from_env(&mut env),
            llm,
            naming: Naming::from_env(&mut env),
            prices: prices(&mut env),
            lanes: LanePolicy::probing_every(env.seconds(PROBE)),
            rate: Rate {
                requests: limit(&mut env, REQUEST_RATE, 1),
                tokens: limit(&mut env, TOKEN_RATE, 1000),
            },
            batch_every: batch_every(&mut env),
            call_retention_days: days(&mut env, CALL_RETENTION),
            draft_floor: draft_floor(&mut env),
            watch: WatchConfig {
                poll: env.seconds(WATCH_POLL),
                accounts: watched_accounts(&mut env),
                retention_days: days(&mut env, FETCHED_RETENTION),
            },
            keys: KeyRing::from_env(&mut env),
            guard: if env.switch(ALLOW_PRIVATE) {
                Guard::Anywhere
            } else {
                Guard::Public
            },
            smtp_helo_name: smtp_helo_name(&mut env),
            telemetry: TelemetryConfig::from_env(&mut env),
            unknown: Vec::new(),
        };
        let unknown = env.unknown(&known(), &["LLM_", "POSTROOM_", "WATCH_", "WORKER_"]);
        env.finish(Self { unknown, ..config })
    }
}

fn known() -> Vec<Variable> {
    let shared = [
        db::VARIABLES,
        secrets::VARIABLES,
        env::VARIABLES,
        telemetry::export::VARIABLES,
    ];
    let model = llm::config::variables();
    [
        shared.concat(),
        model,
        VARIABLES.to_vec(),
        vec![telemetry::LOG],
    ]
    .concat()
}

/// The part of the configuration that is about the model, for programs that call it and are no worker.
#[derive(Clone, Debug)]
pub struct ModelConfig {
    pub llm: LlmConfig,
    pub prices: Prices,
}

impl ModelConfig {
    /// Reads and checks the variables of the model.
    ///
    /// # Errors
    /// All faults together, each naming its variable.
    pub fn from_env(mut env: Env) -> Result<Self, ConfigError> {
        let config = Self {
            llm: LlmConfig::from_env(&mut env, &TASKS),
            prices: prices(&mut env),
        };
        env.finish(config)
    }
}

fn prices(env: &mut Env) -> Prices {
    let Some(path) = env.optional(PRICES) else {
        return Prices::shipped();
    };
    let problem = match std::fs::read_to_string(&path) {
        Err(error) => format!("cannot be read: {error}"),
        Ok(text) => match Prices::from_json(&text) {
            Ok(prices) => return prices,
            Err(error) => chain(&error),
        },
    };
    env.fault(PRICES, problem);
    Prices::shipped()
}

fn limit(env: &mut Env, variable: Variable, least: u32) -> Option<u32> {
    let text = env.optional(variable)?;
    let limit = text.parse().ok().filter(|limit| *limit >= least);
    if limit.is_none() {
        env.fault(variable, format!("is not a whole number from {least} up"));
    }
    limit
}

fn smtp_helo_name(env: &mut Env) -> Option<String> {
    let name = env.optional(SMTP_HELO_NAME)?;
    if !is_host_name(&name) && !is_address_literal(&name) {
        env.fault(
            SMTP_HELO_NAME,
            "is neither a host name such as postroom.example.org nor an address in brackets such as [192.0.2.1]",
        );
    }
    Some(name)
}

/// Whether it is a name of several labels. The last has a letter, or the name would be read as an address (RFC 1123, section 2.1).
fn is_host_name(name: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(is_inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let top = name.rsplit_once('.').map(|(_, top)| top);
    top.is_some_and(|top| top.chars().any(|c| c.is_ascii_alphabetic()))
        && name.len() <= 253
        && name.split('.').all(is_label)
}

/// Whether it is an address as RFC 5321, section 4.1.3 writes it: `[192.0.2.1]`, `[IPv6:2001:db8::1]`.
fn is_address_literal(name: &str) -> bool {
    let inner = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    inner.is_some_and(|inner| match inner.strip_prefix("IPv6:") {
        Some(v6) => v6.parse::<Ipv6Addr>().is_ok(),
        None => inner.parse::<Ipv4Addr>().is_ok(),
    })
}

fn batch_every(env: &mut Env) -> Duration {
    let every = env.seconds(BATCH);
    if every > Duration::from_secs(3600) {
        env.fault(BATCH, "is longer than 3600 seconds");
    }
    every
}

/// What is below an hour was meant in another unit, and would delete what operators and clients still read.
fn retention(env: &mut Env, llm: &LlmConfig) -> Duration {
    let retention = env.seconds(RETENTION);
    if retention < Duration::from_secs(3600) && !matches!(llm, LlmConfig::Testing { .. }) {
        env.fault(RETENTION, "is less than an hour; it is in seconds");
    }
    retention
}

/// Prompts and answers are as confidential as the emails, so that only development may write them to disk.
fn record(env: &mut Env, llm: &LlmConfig) -> Option<PathBuf> {
    let folder = env.optional(RECORD)?;
    let is_testing = matches!(llm, LlmConfig::Testing { .. });
    let environment = env.optional(llm::config::ENVIRONMENT);
    if !is_testing && environment.as_deref() != Some("development") {
        env.fault(
            RECORD,
            "writes emails and answers to disk, which needs LLM_TESTING_MODE=true or POSTROOM_ENV=development",
        );
    }
    Some(PathBuf::from(folder))
}

fn days(env: &mut Env, variable: Variable) -> i32 {
    let days: i32 = env.parse(variable, "a number of days");
    if !(32..=3650).contains(&days) {
        env.fault(variable, "is not between 32 and 3650");
    }
    days
}

fn watched_accounts(env: &mut Env) -> usize {
    let accounts: u32 = env.parse(WATCH_ACCOUNTS, "a number of mailboxes");
    if accounts > 10_000 {
        env.fault(WATCH_ACCOUNTS, "is more than 10000");
    }
    usize::try_from(accounts).unwrap_or(0)
}

fn draft_floor(env: &mut Env) -> Confidence {
    match env.text(DRAFT_FLOOR).as_str() {
        "medium" => Confidence::Medium,
        "high" => Confidence::High,
        _ => {
            env.fault(DRAFT_FLOOR, "is neither medium nor high");
            Confidence::Medium
        }
    }
}
