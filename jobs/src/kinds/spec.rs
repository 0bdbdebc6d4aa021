//! One table of the kinds of job: [`ALL`]. The worker's handlers, the API's lists and its metrics follow it.

use super::{
    action::ActionExecute, backfill::Backfill, connection_test::ConnectionTest,
    draft::DraftGenerate, triage::Triage, triage_batch::TriageBatch, triage_shadow::TriageShadow,
    webhook_delivery::WebhookDelivery,
};
use queue::{JobKind, RetryPolicy};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::{borrow::Cow, time::Duration};

/// Every kind of job, in the order in which they are listed.
pub const ALL: &[KindSpec] = &[
    KindSpec::of::<Triage>(),
    KindSpec::of::<TriageBatch>(),
    KindSpec::of::<TriageShadow>(),
    KindSpec::of::<DraftGenerate>(),
    KindSpec::of::<ActionExecute>(),
    KindSpec::of::<ConnectionTest>(),
    KindSpec::of::<Backfill>(),
    KindSpec::of::<WebhookDelivery>(),
];

/// A kind of job as data, made from its [`JobKind`].
#[derive(Clone, Copy)]
pub struct KindSpec {
    pub name: &'static str,
    pub queue: &'static str,
    pub timeout: Duration,
    pub retry_policy: fn() -> RetryPolicy,
    /// The schema of the output of a job that succeeded.
    pub output: fn(&mut SchemaGenerator) -> Schema,
}

impl KindSpec {
    const fn of<K: JobKind>() -> Self
    where
        K::Output: JsonSchema,
    {
        Self {
            name: K::NAME,
            queue: K::QUEUE,
            timeout: K::TIMEOUT,
            retry_policy: K::retry_policy,
            output: SchemaGenerator::subschema_for::<K::Output>,
        }
    }
}

/// Lists the names of all kinds.
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|kind| kind.name).collect()
}

/// Lists the queues that some kind waits in, each once.
pub fn queues() -> Vec<&'static str> {
    let mut queues = Vec::new();
    for kind in ALL {
        if !queues.contains(&kind.queue) {
            queues.push(kind.queue);
        }
    }
    queues
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn kinds_have_names_of_their_own() {
        let names: HashSet<_> = names().into_iter().collect();
        assert_eq!(names.len(), ALL.len());
    }

    #[test]
    fn queues_are_listed_once() {
        assert_eq!(queues(), ["triage", "draft", "action"]);
    }
}
