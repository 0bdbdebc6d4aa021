//! The whole fleet, for the operators of the installation: [`queues`] held still and let go, [`workers`] seen, [`limits`]
//! set, and what any tenant's jobs died of ([`dead_letters`]). Never shows what a job carries.

mod dead_letters;
mod limits;
mod queues;
mod workers;

use crate::{error::ApiError, route_table::Route};
use jobs::kinds::queues;

pub fn routes() -> Vec<Route> {
    [
        queues::routes(),
        workers::routes(),
        limits::routes(),
        dead_letters::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A mistyped name would pause or limit nothing and say that it did.
fn known_queue(name: &str) -> Result<&'static str, ApiError> {
    queues()
        .into_iter()
        .find(|queue| *queue == name)
        .ok_or_else(ApiError::not_found)
}
