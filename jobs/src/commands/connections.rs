//! Connections: accounts at providers, with their sealed credentials.

pub mod connect;
pub mod test;
