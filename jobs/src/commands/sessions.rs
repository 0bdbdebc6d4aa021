//! Sessions: opened by a password or a token of an identity provider, read at each request, rotated, ended; denied requests are audited.

pub mod authenticate;
pub(in crate::commands) mod code_guesses;
pub mod denials;
pub mod end;
pub mod exchange;
pub mod hashing;
pub mod log_in;
pub mod open;
pub mod rotate;
pub mod signals;
pub(in crate::commands) mod unchanged;

pub use authenticate::{authenticate, is_alive};
pub use denials::record_denial;
pub use log_in::log_in;
pub use open::open_session;
pub use rotate::rotate_session;
