//! What the operators of an installation do for all tenants: pause and resume [`queues`], list [`workers`], set
//! [`limits`], list and retry [`dead_letters`], sum the [`usage`] of models. Never shows a job's arguments or output.

mod dead_letters;
mod limits;
mod queues;
mod usage;
mod workers;

use crate::{error::ApiError, route_table::Route};
use jobs::kinds::queues;

pub fn routes() -> Vec<Route> {
    [
        queues::routes(),
        workers::routes(),
        limits::routes(),
        dead_letters::routes(),
        usage::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Refuses unknown names: a mistyped one would pause or limit nothing.
fn known_queue(name: &str) -> Result<&'static str, ApiError> {
    queues()
        .into_iter()
        .find(|queue| *queue == name)
        .ok_or_else(ApiError::not_found)
}
