//! Connections: accounts at providers, with their sealed secrets.

pub mod connect;
pub mod test;
