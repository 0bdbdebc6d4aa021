//! Every operation, one module per noun: [`all`]. A module gives its [`Route`]s; nothing is served that is not in this list.

pub mod api_keys;
pub mod approvals;
pub mod audit;
pub mod blocks;
pub mod budgets;
pub mod connections;
pub mod contacts;
pub mod drafts;
pub mod effects;
pub mod follow_ups;
pub mod history;
pub mod identity_provider;
pub mod inbox;
pub mod jobs;
pub mod memory;
pub mod meta;
pub mod onboarding;
pub mod operators;
pub mod projects;
mod records;
pub mod rules;
pub mod sessions;
pub mod settings;
pub mod tasks;
pub mod usage;
pub mod users;

use crate::route_table::{Route, Tag};

/// The whole surface, in the order of the OpenAPI document.
pub fn all() -> Vec<Route> {
    let by_noun = [
        (Tag::Sessions, sessions::routes()),
        (Tag::ApiKeys, api_keys::routes()),
        (Tag::Users, users::routes()),
        (Tag::IdentityProvider, identity_provider::routes()),
        (Tag::Onboarding, onboarding::routes()),
        (Tag::Jobs, jobs::routes()),
        (Tag::Rules, rules::routes()),
        (Tag::Approvals, approvals::routes()),
        (Tag::Drafts, drafts::routes()),
        (Tag::Inbox, inbox::routes()),
        (Tag::FollowUps, follow_ups::routes()),
        (Tag::Tasks, tasks::routes()),
        (Tag::Projects, projects::routes()),
        (Tag::Contacts, contacts::routes()),
        (Tag::Blocks, blocks::routes()),
        (Tag::Memory, memory::routes()),
        (Tag::Effects, effects::routes()),
        (Tag::Connections, connections::routes()),
        (Tag::Settings, settings::routes()),
        (Tag::Usage, usage::routes()),
        (Tag::Usage, budgets::routes()),
        (Tag::History, history::routes()),
        (Tag::Audit, audit::routes()),
        (Tag::Operators, operators::routes()),
        (Tag::Meta, meta::routes()),
    ];
    by_noun
        .into_iter()
        .flat_map(|(tag, routes)| routes.into_iter().map(move |route| route.tag(tag)))
        .collect()
}
