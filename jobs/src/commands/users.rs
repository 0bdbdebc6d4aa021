//! Users of a tenant: their passwords, second factors, roles and status.
//!
//! A tenant always has an active owner: every change that could take the last one away counts them under a lock.

pub mod delegates;
pub mod erase;
pub mod manage;
pub mod password;
pub mod preferences;
pub mod reset;
pub mod second_factor;
