//! The text of a rule set as a YAML tree: [`read`].
//!
//! The text is walked event by event before a tree is made of it. An alias stands for a copy of what it names, so that a few
//! kilobytes of aliases make gigabytes; and the time for nested brackets grows with the square of their depth.

use super::{RuleFault, limits};
use saphyr_parser::{Event, Parser};
use serde_yaml_ng::Value;

/// Reads the text.
///
/// # Errors
/// If it is too large, not YAML, too deep, or has anchors or aliases.
pub(super) fn read(yaml: &str) -> Result<Value, RuleFault> {
    if yaml.len() > limits::YAML_BYTES {
        return Err(fault(
            "TOO_LARGE",
            format!("a rule set may have {} bytes", limits::YAML_BYTES),
        ));
    }
    walk(yaml)?;
    serde_yaml_ng::from_str(yaml).map_err(|error| fault("YAML_SYNTAX", error.to_string()))
}

fn walk(yaml: &str) -> Result<(), RuleFault> {
    let mut depth = 0_usize;
    for next in Parser::new_from_str(yaml) {
        let (event, span) = next.map_err(|error| {
            let message = error.to_string();
            // The scanner runs ahead of the events, and has a limit of its own.
            let code = if message.contains("recursion limit") {
                "TOO_DEEP"
            } else {
                "YAML_SYNTAX"
            };
            fault(code, message)
        })?;
        let anchor = match event {
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => {
                depth += 1;
                anchor
            }
            Event::SequenceEnd | Event::MappingEnd => {
                depth = depth.saturating_sub(1);
                0
            }
            Event::Scalar(_, _, anchor, _) | Event::Alias(anchor) => anchor,
            _ => 0,
        };
        let line = span.start.line();
        if anchor != 0 {
            let message =
                format!("line {line}: anchors (&) and aliases (*) are not allowed; write it out");
            return Err(fault("ALIAS", message));
        }
        if depth > limits::DEPTH {
            let message = format!("line {line}: nested deeper than {}", limits::DEPTH);
            return Err(fault("TOO_DEEP", message));
        }
    }
    Ok(())
}

fn fault(code: &'static str, message: String) -> RuleFault {
    RuleFault {
        pointer: String::new(),
        code,
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(yaml: &str) -> Option<&'static str> {
        read(yaml).err().map(|fault| fault.code)
    }

    #[test]
    fn text_that_would_grow_is_refused_before_a_tree_is_made_of_it() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let blocks = "- ".repeat(limits::DEPTH + 1);
        let bomb = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]";
        for (yaml, expected) in [
            (bomb, Some("ALIAS")),
            ("a: &a x", Some("ALIAS")),
            ("a: *missing", Some("YAML_SYNTAX")),
            (&nested(limits::DEPTH), None),
            (&nested(limits::DEPTH + 1), Some("TOO_DEEP")),
            (&nested(100_000), Some("TOO_DEEP")),
            (&"[".repeat(60_000), Some("TOO_DEEP")),
            (&"{a: ".repeat(60_000), Some("TOO_DEEP")),
            (&blocks, Some("TOO_DEEP")),
            (
                "a: '*@client.com'\nb: \"&x\"\nc: |\n  * text\n  & more\nd: x & y * z",
                None,
            ),
            (&" ".repeat(limits::YAML_BYTES + 1), Some("TOO_LARGE")),
        ] {
            let about: String = yaml.chars().take(40).collect();
            assert_eq!(code(yaml), expected, "{about}");
        }
    }
}
