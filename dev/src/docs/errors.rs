//! `docs/errors.md`: every code of a problem document, from [`Code`].

use super::{head, table};
use api::error::Code;

/// Prints the page.
pub(super) fn page() -> String {
    let rows = Code::ALL.iter().map(|code| {
        [
            format!("`{}`", code.as_str()),
            code.status().as_u16().to_string(),
            code.title().to_owned(),
        ]
    });
    let introduction = "\
Errors are `application/problem+json` (RFC 9457). `code` is stable and meant for programs; the texts beside it may change.
`detail` says what happened and what to do, `request_id` finds the request in the logs and in `GET /v1/audit`, and
`errors` lists each fault with a JSON pointer into the body or `?name` for a query parameter.

```json
{
  \"type\": \"urn:postroom:problem:INVALID_BODY\",
  \"title\": \"The body does not fit this operation\",
  \"status\": 422,
  \"detail\": \"…\",
  \"instance\": \"/v1/tasks\",
  \"code\": \"INVALID_BODY\",
  \"request_id\": \"01a206489bd67252bf84a63c5385b63c\",
  \"errors\": [{\"pointer\": \"/title\", \"code\": \"too_long\", \"detail\": \"…\"}]
}
```

Retry 429 and 503 after `Retry-After`, 504 at once; with the same `Idempotency-Key` a retry never does the work twice.
";
    head("Errors", introduction) + "\n" + &table(["code", "status", "title"], rows)
}
