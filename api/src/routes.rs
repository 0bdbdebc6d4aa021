//! Every operation, one module per resource: [`all`]. A module gives its [`Route`]s; nothing is served that is not in this list.

pub mod meta;

use crate::route_table::Route;

/// The whole surface, in the order of the OpenAPI document.
pub fn all() -> Vec<Route> {
    [meta::routes()].into_iter().flatten().collect()
}
