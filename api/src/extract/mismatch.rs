//! What serde says about a value that does not fit its type, as a fault for the client: [`Mismatch`].
//!
//! Reads serde's message, since its errors have no parts. Takes from it only what our types say (the names of fields and
//! words); what the client sent is not repeated.

use serde_path_to_error::{Path, Segment};

/// One field that does not fit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mismatch {
    /// The steps to the field, the field included.
    pub(super) steps: Vec<String>,
    pub(super) code: &'static str,
    pub(super) detail: String,
}

impl Mismatch {
    pub(super) fn of(path: &Path, message: &str) -> Self {
        Self::below(path.iter().filter_map(step).collect(), message)
    }

    fn below(mut steps: Vec<String>, message: &str) -> Self {
        let (code, detail) = if let Some(name) = named(message, "missing field `") {
            steps.push(name.to_owned());
            ("MISSING_FIELD", "Is required.".to_owned())
        } else if let Some(name) = named(message, "duplicate field `") {
            steps.push(name.to_owned());
            ("DUPLICATE_KEY", "Must not occur twice.".to_owned())
        } else if message.starts_with("unknown field") {
            let detail = one_of(message).map_or_else(
                || "Unknown field.".to_owned(),
                |words| format!("Unknown field. Must be {words}."),
            );
            ("UNKNOWN_FIELD", detail)
        } else {
            ("INVALID_VALUE", invalid(message))
        };
        Self {
            steps,
            code,
            detail,
        }
    }
}

fn step(segment: &Segment) -> Option<String> {
    match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { variant } => Some(variant.clone()),
        Segment::Unknown => None,
    }
}

/// The name between backticks: of one of our fields, so that it has none itself.
fn named<'a>(message: &'a str, before: &str) -> Option<&'a str> {
    message.strip_prefix(before)?.split('`').next()
}

/// The part of the message that our types have written: it stands last.
fn expected(message: &str) -> Option<&str> {
    message
        .rsplit_once(", expected ")
        .map(|(_, expected)| expected)
}

fn one_of(message: &str) -> Option<String> {
    let words = expected(message)?;
    let words = words.strip_prefix("one of ").unwrap_or(words);
    let words: Vec<&str> = words.split('`').skip(1).step_by(2).collect();
    match words[..] {
        [] => None,
        [only] => Some(only.to_owned()),
        _ => Some(format!("one of {}", words.join(", "))),
    }
}

fn invalid(message: &str) -> String {
    let must = if message.starts_with("unknown variant") {
        one_of(message)
    } else if message.starts_with("invalid type") {
        expected(message).and_then(kind).map(str::to_owned)
    } else {
        parsed(message).map(str::to_owned)
    };
    must.map_or_else(
        || "Invalid value.".to_owned(),
        |must| format!("Must be {must}."),
    )
}

/// What JSON calls a type of ours.
fn kind(expected: &str) -> Option<&'static str> {
    Some(match expected {
        "a string" | "string" => "a string",
        "a boolean" => "true or false",
        "a sequence" => "an array",
        "a map" => "an object",
        "f32" | "f64" => "a number",
        "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" | "usize" => "an integer",
        // Followed by the name of the type, which is ours alone.
        _ if expected.starts_with("struct ") => "an object",
        _ => return None,
    })
}

/// The same of a text that was parsed, as the parameters of a query are.
fn parsed(message: &str) -> Option<&'static str> {
    match message {
        "invalid digit found in string" | "cannot parse integer from empty string" => {
            Some("an integer")
        }
        "provided string was not `true` or `false`" => Some("true or false"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detail_says_what_the_type_takes_and_not_what_was_sent() {
        for (message, code, detail) in [
            (
                "unknown field `secret`, expected `a` or `b`",
                "UNKNOWN_FIELD",
                "Unknown field. Must be one of a, b.",
            ),
            (
                "unknown field `x, expected y`, expected one of `a`, `b`, `c`",
                "UNKNOWN_FIELD",
                "Unknown field. Must be one of a, b, c.",
            ),
            (
                "unknown field `x`, there are no fields",
                "UNKNOWN_FIELD",
                "Unknown field.",
            ),
            (
                "unknown variant `secret`, expected `a`",
                "INVALID_VALUE",
                "Must be a.",
            ),
            (
                "invalid type: string \"secret\", expected u8",
                "INVALID_VALUE",
                "Must be an integer.",
            ),
            (
                "invalid type: null, expected struct Secret",
                "INVALID_VALUE",
                "Must be an object.",
            ),
            (
                "invalid type: null, expected something of ours",
                "INVALID_VALUE",
                "Invalid value.",
            ),
            ("input is secret", "INVALID_VALUE", "Invalid value."),
        ] {
            let mismatch = Mismatch::below(Vec::new(), message);
            assert_eq!((mismatch.code, mismatch.detail.as_str()), (code, detail));
            assert!(mismatch.steps.is_empty());
        }
    }

    #[test]
    fn field_that_is_missing_or_repeated_is_the_last_step() {
        let mismatch = |message| Mismatch::below(Vec::new(), message);
        assert_eq!(mismatch("missing field `title`").steps, ["title"]);
        assert_eq!(mismatch("duplicate field `limit`").steps, ["limit"]);
    }
}
