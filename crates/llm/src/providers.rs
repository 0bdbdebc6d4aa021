//! The providers, one file each. Each implements [`LlmProvider`](crate::LlmProvider) for one wire protocol.

pub mod fixtures;
pub mod openai;
