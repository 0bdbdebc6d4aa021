//! Every operation, one module per resource: [`all`]. A module gives its [`Route`]s; nothing is served that is not in this list.

pub mod jobs;
pub mod meta;
pub mod rules;

use crate::route_table::Route;

/// The whole surface, in the order of the OpenAPI document.
pub fn all() -> Vec<Route> {
    [jobs::routes(), rules::routes(), meta::routes()]
        .into_iter()
        .flatten()
        .collect()
}
