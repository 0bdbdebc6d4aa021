#![doc = include_str!("../README.md")]

pub mod batch;
pub mod call;
pub mod completion;
pub mod config;
pub mod error;
pub mod ledger;
pub mod limits_left;
pub mod metrics;
pub mod model;
pub mod models;
pub mod prices;
pub mod prompt;
pub mod prompt_file;
pub mod provider;
pub mod providers;
pub mod retry;
pub mod semconv;
pub mod tier;

mod classify;
mod log;
mod retry_after;

pub use call::Call;
pub use completion::{CallCost, Completion, FinishReason, TokenUsage};
pub use config::LlmConfig;
pub use error::{InvalidReason, LlmError, NotAdmitted};
pub use ledger::{RequestLedger, Unrecorded};
pub use metrics::LlmMetrics;
pub use model::Model;
pub use models::{Models, Route};
pub use prices::Prices;
pub use prompt::{OutputSchema, Prompt, Trusted, Untrusted};
pub use prompt_file::PromptFile;
pub use provider::LlmProvider;
pub use providers::{Provider, ProviderClient, Target, fixtures::Fixtures, options::ModelOptions};
pub use retry::RetryConfig;
pub use semconv::Naming;
pub use tier::ServiceTier;
