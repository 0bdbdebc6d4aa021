//! `docs/errors.md`: every code of a problem document, from [`Code`].

use super::{head, table};
use api::error::{ApiError, Code};

/// Prints the page.
pub(super) fn page() -> String {
    let rows = Code::ALL.iter().map(|code| {
        [
            format!("`{}`", code.as_str()),
            code.status().as_u16().to_string(),
            code.title().to_owned(),
        ]
    });
    let introduction = format!(
        "\
Errors are `application/problem+json` (RFC 9457). `code` is stable and meant for programs; the texts beside it may change.
`detail` says what happened and what to do, `request_id` finds the request in the logs and in `GET /v1/audit`, and
`errors` lists each fault with a JSON pointer into the body or `?name` for a query parameter.

```json
{}
```

Retry 429 and 503 after `Retry-After`, 504 at once; with the same `Idempotency-Key` a retry never does the work twice.
",
        example()
    );
    head("Errors", &introduction) + "\n" + &table(["code", "status", "title"], rows)
}

/// A problem document as the API writes it.
fn example() -> String {
    let detail = "Nothing was changed. Correct the fields that `errors` lists.";
    let error = ApiError::new(Code::InvalidBody, detail).at(
        "/title",
        "TOO_LONG",
        "Must have at most 200 characters.",
    );
    let problem = error.problem("01a206489bd67252bf84a63c5385b63c", "/v1/tasks");
    serde_json::to_string_pretty(&problem).expect("a problem is plain strings")
}
