//! A question to a model and its answer, as they are kept for people to read: [`CapturedExchange`]. Has no `Debug`: it holds emails.

use serde::{Deserialize, Serialize};

/// What was sent and what came back.
#[derive(Clone, Serialize, Deserialize)]
pub struct CapturedExchange {
    pub messages: Vec<CapturedMessage>,
    /// None if there was no usable answer, or a batch has not answered yet.
    pub answer: Option<String>,
    /// The class of the failure.
    pub failure: Option<String>,
}

/// A message of the prompt.
#[derive(Clone, Serialize, Deserialize)]
pub struct CapturedMessage {
    pub role: String,
    pub content: String,
}
