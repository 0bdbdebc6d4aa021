//! The closed sets of names that jobs go by, as schemas: [`JobKindName`] and [`QueueName`].

use jobs::kinds;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

/// Describes text that is the name of a kind of job.
pub(crate) struct JobKindName;

/// Describes text that is the name of a queue.
pub(crate) struct QueueName;

impl JsonSchema for JobKindName {
    fn schema_name() -> Cow<'static, str> {
        "JobKind".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "A kind of job.", "enum": kinds::names() })
    }
}

impl JsonSchema for QueueName {
    fn schema_name() -> Cow<'static, str> {
        "QueueName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "A queue.", "enum": kinds::queues() })
    }
}
