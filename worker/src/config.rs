//! The worker's configuration from the environment: [`WorkerConfig`]. Reports all faults together.

use crate::providers::guard::Guard;
use base::{
    db::PoolConfig,
    env::{ConfigError, Env},
};
use jobs::{domain::draft::Confidence, secrets::KeyRing};
use llm::LlmConfig;
use queue::runtime::RuntimeConfig;
use std::{net::SocketAddr, time::Duration};

/// The worker's configuration; README.md has the table of variables.
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
    /// Below this confidence, a draft becomes open questions.
    pub draft_floor: Confidence,
    /// Decrypt the secrets of connections; without keys, connections are unusable.
    pub keys: Option<KeyRing>,
    /// The addresses that connections may reach.
    pub guard: Guard,
    pub log: String,
}

impl WorkerConfig {
    /// Reads and checks all variables.
    ///
    /// # Errors
    /// All faults together, each naming its variable.
    pub fn from_env(mut env: Env) -> Result<Self, ConfigError> {
        env.refuse_dev_mode();
        let max_connections = env.parse_or(
            "DATABASE_MAX_CONNECTIONS",
            8,
            "a number of connections",
            "8",
        );
        let pool = PoolConfig::from_env(&mut env, max_connections, "postroom-worker");
        let listen = pool.for_listening(&mut env);
        let slots: u32 = env.parse_or("WORKER_SLOTS", 16, "a number of jobs", "16");
        if !(1..=10_000).contains(&slots) {
            env.fault("WORKER_SLOTS", "is not between 1 and 10000", "16");
        }
        let config = Self {
            pool,
            listen,
            ops_addr: env.parse_or(
                "WORKER_OPS_ADDR",
                SocketAddr::from(([127, 0, 0, 1], 9102)),
                "an address and port",
                "127.0.0.1:9102",
            ),
            runtime: RuntimeConfig {
                slots,
                lease: env.seconds_or("WORKER_LEASE_SECONDS", Duration::from_secs(30), "30"),
                grace: env.seconds_or("WORKER_GRACE_SECONDS", Duration::from_secs(25), "25"),
                poll: env.seconds_or("WORKER_POLL_SECONDS", Duration::from_secs(2), "2"),
            },
            retention: env.seconds_or(
                "JOB_RETENTION_SECONDS",
                Duration::from_secs(30 * 24 * 3600),
                "2592000",
            ),
            llm: LlmConfig::from_env(&mut env),
            draft_floor: draft_floor(&mut env),
            keys: KeyRing::from_env(&mut env),
            guard: if env.switch("OUTBOUND_ALLOW_PRIVATE") {
                Guard::Anywhere
            } else {
                Guard::Public
            },
            log: env.text_or("RUST_LOG", "info", "info,worker=debug"),
        };
        env.finish(config)
    }
}

fn draft_floor(env: &mut Env) -> Confidence {
    const NAME: &str = "DRAFT_MIN_CONFIDENCE";
    let word = env.text_or(NAME, "medium", "medium");
    match word.as_str() {
        "medium" => Confidence::Medium,
        "high" => Confidence::High,
        _ => {
            env.fault(NAME, "is neither medium nor high", "medium");
            Confidence::Medium
        }
    }
}
