//! The codes and phrases by which providers and proxies say what is wrong.

/// Codes and types that our errors may contain. Any other text might echo the request.
pub(super) const KNOWN_CODES: &[&str] = &[
    "API_KEY_INVALID",
    "DEADLINE_EXCEEDED",
    "FAILED_PRECONDITION",
    "INTERNAL",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "UNAUTHENTICATED",
    "UNAVAILABLE",
    "authentication_error",
    "billing_error",
    "billing_hard_limit_reached",
    "content_filter",
    "content_policy_violation",
    "context_length_exceeded",
    "credit_balance_exhausted",
    "data_inspection_failed",
    "enforced_spend_limit_reached",
    "exceed_context_size_error",
    "insufficient_credits",
    "insufficient_quota",
    "invalid_api_key",
    "invalid_prompt",
    "invalid_request_error",
    "json_validate_failed",
    "model_not_found",
    "not_found_error",
    "overloaded_error",
    "permission_error",
    "quota_exceeded",
    "rate_limit_error",
    "rate_limit_exceeded",
    "request_too_large",
    "server_error",
    "tool_use_failed",
    "unsupported_parameter",
    "unsupported_value",
];

/// Limits that a short wait does not lift.
pub(super) const QUOTA_CODES: &[&str] = &[
    "billing_error",
    "billing_hard_limit_reached",
    "credit_balance_exhausted",
    "enforced_spend_limit_reached",
    "insufficient_credits",
    "insufficient_quota",
    "quota_exceeded",
];
/// Phrases of providers and proxies for the same, if they send no code for it.
pub(super) const QUOTA_PHRASES: &[&str] = &[
    "insufficient_quota",
    "credit balance is too low",
    "billing hard limit",
    "spend limit",
    "exceeded your current quota",
];
/// How Gemini's message names the quota, of a day or a minute.
pub(super) const GEMINI_QUOTA_PHRASES: &[&str] =
    &["resource_exhausted", "quota exceeded for metric"];
pub(super) const TOO_LONG_CODES: &[&str] = &[
    "context_length_exceeded",
    "exceed_context_size_error",
    "request_too_large",
];
pub(super) const FILTER_CODES: &[&str] = &[
    "content_filter",
    "content_policy_violation",
    "data_inspection_failed",
    "invalid_prompt",
];
/// Phrases of providers and proxies for the same, if they send no code for it.
pub(super) const FILTER_PHRASES: &[&str] = &[
    "content filtering policy",
    "contentpolicyviolation",
    "content management policy",
    "flagged as potentially violating",
    "violates usage guidelines",
    "requires moderation",
    "content exists risk",
];
/// The model wrote something that the server could not make into an answer (Groq).
pub(super) const UNUSABLE_CODES: &[&str] = &["json_validate_failed", "tool_use_failed"];

/// Phrases of local servers for a prompt that is too long; they send no code for it.
pub(super) const TOO_LONG_PHRASES: &[&str] = &[
    "context length",
    "context size",
    "context window",
    "exceeds the maximum number of tokens",
    "maximum context",
    "prompt is too long",
];
