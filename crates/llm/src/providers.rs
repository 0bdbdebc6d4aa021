//! The providers, one file or folder each. Each implements [`LlmProvider`](crate::LlmProvider) for one wire protocol.
//!
//! What they share: [`options`] that an operator sets, one HTTP client, what a server was found not to be able to do, and
//! the end of reading a response.

pub mod anthropic;
pub mod azure;
pub mod fixtures;
pub mod gemini;
pub mod mistral;
pub mod ollama;
pub mod openai;
pub mod options;
pub mod responses;

mod batches;
mod capabilities;
mod http;
mod reading;

pub use http::ClientError;
