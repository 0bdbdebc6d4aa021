//! What the table of kinds says of each: [`KindSpec`].

use super::ALL;
use queue::{JobKind, RetryPolicy};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::{borrow::Cow, time::Duration};

/// A kind of job as data, made from its [`JobKind`].
#[derive(Clone, Copy)]
pub struct KindSpec {
    pub name: &'static str,
    pub queue: &'static str,
    pub timeout: Duration,
    pub retry_policy: fn() -> RetryPolicy,
    /// The schema of the output of a job that succeeded.
    pub output: fn(&mut SchemaGenerator) -> Schema,
    pub model: ModelUse,
    pub ends: Ends,
}

/// Whether jobs of a kind ask a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelUse {
    None,
    /// They end without an answer while the model is unavailable.
    Asks,
    /// They wait for it, and are released when it is back.
    Waits,
}

/// Whether webhooks are called when jobs of a kind end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    Announced,
    Silent,
}

impl KindSpec {
    pub(super) const fn of<K: JobKind>(model: ModelUse, ends: Ends) -> Self
    where
        K::Output: JsonSchema,
    {
        Self {
            name: K::NAME,
            queue: K::QUEUE,
            timeout: K::TIMEOUT,
            retry_policy: K::retry_policy,
            output: SchemaGenerator::subschema_for::<K::Output>,
            model,
            ends,
        }
    }
}

/// The schema of any kind's output, for documents; the outputs themselves are stored as JSON.
pub enum JobOutput {}

impl JsonSchema for JobOutput {
    fn schema_name() -> Cow<'static, str> {
        "JobOutput".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let outputs: Vec<Schema> = ALL.iter().map(|kind| (kind.output)(generator)).collect();
        json_schema!({ "description": "The result of a job, by its kind.", "anyOf": outputs })
    }
}
