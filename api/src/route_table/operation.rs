//! [`Operation`]: what a request does, takes and needs, and how it can fail.

use super::{
    response::{SchemaOf, SuccessResponse},
    tag::Tag,
};
use crate::error::Code;
use axum::http::Method;
use jobs::domain::session::Scope;
use std::{collections::BTreeSet, time::Duration};

/// Who may call an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without a session.
    Public,
    /// A session whose role carries this scope, or an API key that does.
    Session(Scope),
    /// As [`Access::Session`], and only for users of the operators' tenant: what concerns all tenants.
    Operators(Scope),
}

/// Whether a change names the version it is based on, as `If-Match`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    None,
    /// Needed only if there is something to replace.
    Optional,
    Required,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterIn {
    Path,
    Header,
}

/// A parameter that is declared by name; query parameters are the fields of [`Operation::query`].
#[derive(Clone, Debug)]
pub struct Parameter {
    pub place: ParameterIn,
    pub name: &'static str,
    pub description: &'static str,
    pub schema: SchemaOf,
}

/// One operation: what it is, what it needs, what it takes and gives.
#[derive(Clone, Debug)]
pub struct Operation {
    pub method: Method,
    /// In axum's notation, which is OpenAPI's.
    pub path: &'static str,
    /// Unique; the label in metrics and traces, and part of an idempotency key's scope.
    pub name: &'static str,
    pub tag: Tag,
    pub summary: &'static str,
    /// What the summary has no room for.
    pub description: &'static str,
    pub access: Access,
    /// Whether the user must have typed their password within the last ten minutes.
    pub fresh: bool,
    /// Whether a paused tenant may call it although it writes.
    pub while_paused: bool,
    /// Whether an `Idempotency-Key` must come with it.
    pub idempotent: bool,
    pub precondition: Precondition,
    /// Whether `If-Match: *` stands for any version.
    pub any_version: bool,
    pub body_limit: usize,
    pub body_is_optional: bool,
    pub timeout: Duration,
    pub parameters: Vec<Parameter>,
    /// The query parameters, as the fields of one type.
    pub query: Option<SchemaOf>,
    /// Whether it answers page by page: takes `limit` and `cursor`.
    pub paged: bool,
    /// Accepted bodies by media type.
    pub bodies: Vec<(&'static str, SchemaOf)>,
    pub responses: Vec<SuccessResponse>,
    /// The codes of its own, beside those that follow from what it takes.
    pub own_errors: Vec<Code>,
}

impl Operation {
    /// Whether it may write: its request then runs where a disconnect cannot cancel it.
    pub fn is_mutation(&self) -> bool {
        self.method != Method::GET
    }

    pub fn path_parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path
            .split('/')
            .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
    }

    /// Lists every code that it can fail with, by status.
    pub fn errors(&self) -> BTreeSet<Code> {
        let mut codes: BTreeSet<Code> = self.own_errors.iter().copied().collect();
        codes.extend([
            Code::HeadersTooLarge,
            Code::TargetTooLong,
            Code::Internal,
            Code::Overloaded,
            Code::Timeout,
            Code::Unavailable,
        ]);
        if self.access != Access::Public {
            codes.extend([
                Code::MalformedRequest,
                Code::Unauthenticated,
                Code::Forbidden,
                Code::TooManyRequests,
            ]);
        }
        let own_sessions = Access::Session(Scope::OwnSessions);
        if self.access != Access::Public && self.access != own_sessions {
            codes.insert(Code::EnrolmentRequired);
        }
        if self.fresh {
            codes.insert(Code::ConfirmationRequired);
        }
        if self.access != Access::Public && self.is_mutation() && !self.while_paused {
            codes.insert(Code::TenantPaused);
        }
        if matches!(self.access, Access::Operators(_)) {
            codes.insert(Code::NotOperator);
        }
        if !self.bodies.is_empty() {
            codes.extend([
                Code::MalformedRequest,
                Code::RequestTimeout,
                Code::BodyTooLarge,
                Code::TooManyRequests,
                Code::UnsupportedMediaType,
            ]);
        }
        if self
            .bodies
            .iter()
            .any(|(media_type, _)| *media_type == "application/json")
        {
            codes.extend([Code::MalformedJson, Code::InvalidBody]);
        }
        if self.query.is_some() || self.paged {
            codes.insert(Code::InvalidParameter);
        }
        if self.idempotent {
            codes.extend([
                Code::IdempotencyKeyMissing,
                Code::IdempotencyKeyInvalid,
                Code::IdempotencyKeyInFlight,
                Code::IdempotencyKeyReused,
            ]);
        }
        if self.precondition != Precondition::None {
            codes.extend([Code::PreconditionRequired, Code::PreconditionFailed]);
        }
        if self.path_parameters().next().is_some() {
            codes.insert(Code::NotFound);
        }
        codes
    }
}
