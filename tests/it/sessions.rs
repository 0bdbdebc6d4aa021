//! Sessions: they open, are used, replaced and ended, and nothing else opens a door.

mod http;
mod lifetime;
mod log_in;
mod overtaken;
mod rotation;
