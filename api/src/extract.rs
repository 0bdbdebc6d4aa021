//! Extractors: what a handler gets from here is parsed and checked.
//!
//! Every rejection is an [`ApiError`](crate::error::ApiError) with a pointer to the fault.

pub mod body;
pub mod current_session;
pub mod id;
pub mod idempotency_key;
pub mod idempotent;
pub mod if_match;
pub mod json;
mod mismatch;
pub mod paged;
pub mod prefer;
pub mod query;

pub use current_session::{CurrentSession, PresentedToken};
pub use id::Id;
pub use idempotency_key::IdempotencyKey;
pub use idempotent::{Idempotent, KeyedRequest};
pub use if_match::IfMatch;
pub use json::StrictJson;
pub use paged::{List, Paged, PagedList};
pub use prefer::Wait;
pub use query::{NoQuery, StrictQuery};
