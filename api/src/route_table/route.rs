//! [`Route`]: an operation with its handler, declared step by step.

use super::{
    Access, Operation, Parameter, ParameterIn, Precondition, ResponseHeader, SuccessResponse, Tag,
};
use crate::{AppState, error::Code};
use axum::{
    handler::Handler,
    http::Method,
    routing::{MethodFilter, MethodRouter, on},
};
use jobs::domain::session::Scope;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::time::Duration;

/// Enough for any JSON that holds no email.
const BODY_LIMIT: usize = 256 * 1024;

/// For an operation that does not wait: body, transaction and response.
const TIMEOUT: Duration = Duration::from_secs(15);

const JSON: &str = "application/json";

/// An operation with its handler.
pub struct Route {
    pub operation: Operation,
    pub(super) handler: MethodRouter<AppState>,
}

impl Route {
    /// There is no route without an access: it is an argument, not an option.
    ///
    /// # Panics
    /// If the method is one that axum cannot route.
    pub fn new<H, T>(
        method: Method,
        path: &'static str,
        name: &'static str,
        access: Access,
        handler: H,
    ) -> Self
    where
        H: Handler<T, AppState>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).expect("a method that can be routed");
        let operation = Operation {
            method,
            path,
            name,
            tag: Tag::Meta,
            summary: "",
            description: "",
            access,
            fresh: false,
            // Signing in and out never submits work.
            while_paused: matches!(access, Access::Public | Access::Session(Scope::OwnSessions)),
            idempotent: false,
            precondition: Precondition::None,
            any_version: false,
            body_limit: BODY_LIMIT,
            body_is_optional: false,
            timeout: TIMEOUT,
            parameters: Vec::new(),
            query: None,
            paged: false,
            bodies: Vec::new(),
            responses: Vec::new(),
            own_errors: Vec::new(),
        };
        Self {
            operation,
            handler: on(filter, handler),
        }
    }

    /// Refuses the operation while the tenant is paused, although it concerns the user alone.
    #[must_use]
    pub fn refused_while_paused(mut self) -> Self {
        self.operation.while_paused = false;
        self
    }

    #[must_use]
    pub fn tag(mut self, tag: Tag) -> Self {
        self.operation.tag = tag;
        self
    }

    #[must_use]
    pub fn summary(mut self, summary: &'static str) -> Self {
        self.operation.summary = summary;
        self
    }

    #[must_use]
    pub fn description(mut self, description: &'static str) -> Self {
        self.operation.description = description;
        self
    }

    /// Needs a password that was typed within the last ten minutes, in this session.
    #[must_use]
    pub fn fresh(mut self) -> Self {
        self.operation.fresh = true;
        self
    }

    /// Needs an `Idempotency-Key`.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.operation.idempotent = true;
        self
    }

    /// Needs `If-Match` with the ETag of what is changed.
    #[must_use]
    pub fn if_match(mut self) -> Self {
        self.operation.precondition = Precondition::Required;
        self
    }

    /// As [`Route::if_match`]; `*` stands for any version.
    #[must_use]
    pub fn if_match_or_any(mut self) -> Self {
        self.operation.any_version = true;
        self.if_match()
    }

    /// Needs `If-Match` only to replace what is there.
    #[must_use]
    pub fn if_match_to_replace(mut self) -> Self {
        self.operation.precondition = Precondition::Optional;
        self
    }

    #[must_use]
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.operation.body_limit = bytes;
        self
    }

    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.operation.timeout = timeout;
        self
    }

    /// Describes a path parameter other than `{id}`, which is a UUID wherever it occurs.
    #[must_use]
    pub fn path<T: JsonSchema>(self, name: &'static str, description: &'static str) -> Self {
        self.parameter::<T>(ParameterIn::Path, name, description)
    }

    /// Takes an optional header.
    #[must_use]
    pub fn header<T: JsonSchema>(self, name: &'static str, description: &'static str) -> Self {
        self.parameter::<T>(ParameterIn::Header, name, description)
    }

    fn parameter<T: JsonSchema>(
        mut self,
        place: ParameterIn,
        name: &'static str,
        description: &'static str,
    ) -> Self {
        self.operation.parameters.push(Parameter {
            place,
            name,
            description,
            schema: SchemaGenerator::subschema_for::<T>,
        });
        self
    }

    /// Takes the fields of `Q` as query parameters.
    #[must_use]
    pub fn query<Q: JsonSchema>(mut self) -> Self {
        self.operation.query = Some(Q::json_schema);
        self
    }

    /// Answers page by page: takes the filters in `Q`, `limit` and `cursor`.
    #[must_use]
    pub fn paged<Q: JsonSchema>(mut self) -> Self {
        self.operation.paged = true;
        self.query::<Q>()
    }

    #[must_use]
    pub fn body<T: JsonSchema>(mut self, media_type: &'static str) -> Self {
        self.operation
            .bodies
            .push((media_type, SchemaGenerator::subschema_for::<T>));
        self
    }

    /// Takes a JSON body, or none.
    #[must_use]
    pub fn optional_body<T: JsonSchema>(mut self) -> Self {
        self.operation.body_is_optional = true;
        self.body::<T>(JSON)
    }

    /// Answers with a JSON body.
    #[must_use]
    pub fn answer<T: JsonSchema>(self, status: u16, description: &'static str) -> Self {
        self.answer_as::<T>(JSON, status, description)
    }

    /// Answers with a JSON body and its version as ETag.
    #[must_use]
    pub fn versioned<T: JsonSchema>(self, status: u16, description: &'static str) -> Self {
        self.answer::<T>(status, description)
            .headers(&[ResponseHeader::ETag])
    }

    /// Answers with text of a media type that has no schema of its own.
    #[must_use]
    pub fn text_answer(
        self,
        media_type: &'static str,
        status: u16,
        description: &'static str,
    ) -> Self {
        self.answer_as::<String>(media_type, status, description)
    }

    /// Answers with server-sent events, the data of each a JSON of this schema.
    #[must_use]
    pub fn streamed_answer<T: JsonSchema>(self, status: u16, description: &'static str) -> Self {
        self.answer_with("text/event-stream", status, description, event_schema::<T>)
    }

    fn answer_as<T: JsonSchema>(
        self,
        media_type: &'static str,
        status: u16,
        description: &'static str,
    ) -> Self {
        self.answer_with(
            media_type,
            status,
            description,
            SchemaGenerator::subschema_for::<T>,
        )
    }

    fn answer_with(
        mut self,
        media_type: &'static str,
        status: u16,
        description: &'static str,
        schema: fn(&mut SchemaGenerator) -> Schema,
    ) -> Self {
        self.operation.responses.push(SuccessResponse {
            status,
            description,
            content: Some((media_type, schema)),
            headers: Vec::new(),
        });
        self
    }

    /// Answers without a body.
    #[must_use]
    pub fn empty_answer(mut self, status: u16, description: &'static str) -> Self {
        self.operation.responses.push(SuccessResponse {
            status,
            description,
            content: None,
            headers: Vec::new(),
        });
        self
    }

    /// Declares the headers of the response that was declared last.
    #[must_use]
    pub fn headers(mut self, headers: &[ResponseHeader]) -> Self {
        if let Some(response) = self.operation.responses.last_mut() {
            response.headers.extend(headers);
        }
        self
    }

    /// Declares how it can fail beside what follows from its parameters, body and access.
    #[must_use]
    pub fn errors(mut self, codes: &[Code]) -> Self {
        self.operation.own_errors.extend(codes);
        self
    }
}

/// Describes one server-sent event by its fields: OpenAPI 3.1 has no word for the items of a stream.
fn event_schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let data = generator.subschema_for::<T>();
    json_schema!({
        "type": "object",
        "properties": {
            "id": { "type": "string" },
            "event": { "type": "string" },
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": data,
            },
        },
        "required": ["id", "event", "data"],
    })
}
