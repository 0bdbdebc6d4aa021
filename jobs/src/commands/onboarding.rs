//! Onboarding: the first owner of a tenant, invites and their acceptance.

pub mod accept;
pub mod bootstrap;
pub mod invite;

pub use accept::accept_invite;
pub use bootstrap::bootstrap;
pub use invite::invite;
