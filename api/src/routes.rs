//! Every operation, one module per resource: [`all`]. A module gives its [`Route`]s; nothing is served that is not in this list.

pub mod approvals;
pub mod audit;
pub mod connections;
pub mod desk;
pub mod drafts;
pub mod effects;
pub mod fleet;
pub mod history;
pub mod inbox;
pub mod jobs;
pub mod memory;
pub mod meta;
pub mod onboarding;
pub mod rules;
pub mod schedule;
pub mod sessions;
pub mod settings;

use crate::route_table::Route;

/// The whole surface, in the order of the OpenAPI document.
pub fn all() -> Vec<Route> {
    [
        sessions::routes(),
        onboarding::routes(),
        jobs::routes(),
        rules::routes(),
        approvals::routes(),
        desk::routes(),
        inbox::routes(),
        drafts::routes(),
        effects::routes(),
        connections::routes(),
        settings::routes(),
        memory::routes(),
        schedule::routes(),
        history::routes(),
        audit::routes(),
        fleet::routes(),
        meta::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
